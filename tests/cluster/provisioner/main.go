// Command provisioner makes the volumes of the cluster's classes, see ../cluster.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/cli"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// hostPath serves three kinds of volume out of one directory of the host.
// "local" volumes belong to one node and refuse ReadWriteMany, as kind's
// local-path does; "shared" volumes are the same directory on every node;
// "split" volumes say the same and are not, as minikube's on several nodes:
// node2 has another directory mounted over theirs (see the script `cluster`).
type hostPath struct {
	root   string
	shared bool
	twin   string
}

func (p hostPath) Provision(_ context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	if !p.shared {
		for _, m := range o.PVC.Spec.AccessModes {
			if m == v1.ReadWriteMany || m == v1.ReadOnlyMany {
				return nil, controller.ProvisioningFinished, fmt.Errorf("only ReadWriteOnce is supported, %s asked for", m)
			}
		}
	}
	dir := filepath.Join(p.root, o.PVName)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if p.twin != "" {
		twin := filepath.Join(p.twin, o.PVName)
		if err := os.MkdirAll(twin, 0o777); err != nil {
			return nil, controller.ProvisioningFinished, err
		}
		if err := os.Chmod(twin, 0o777); err != nil {
			return nil, controller.ProvisioningFinished, err
		}
	}
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: o.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource:        v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: dir}},
		},
	}
	if !p.shared && o.SelectedNodeName != "" {
		pv.Spec.NodeAffinity = &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
			MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{o.SelectedNodeName}}},
		}}}}
	}
	return pv, controller.ProvisioningFinished, nil
}

func (p hostPath) Delete(_ context.Context, pv *v1.PersistentVolume) error {
	if p.twin != "" {
		if err := os.RemoveAll(filepath.Join(p.twin, pv.Name)); err != nil {
			return err
		}
	}
	return os.RemoveAll(pv.Spec.HostPath.Path)
}

// classes are the kinds as the cluster's users see them: "standard" is the
// default and waits for the first pod, as kind's does; a claim of "growing" may
// ask for more.
func classes() []*storagev1.StorageClass {
	wait := storagev1.VolumeBindingWaitForFirstConsumer
	grows := true
	return []*storagev1.StorageClass{
		{
			ObjectMeta: metav1.ObjectMeta{
				Name:        "standard",
				Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
			},
			Provisioner:       "localcluster/local",
			VolumeBindingMode: &wait,
		},
		{ObjectMeta: metav1.ObjectMeta{Name: "shared"}, Provisioner: "localcluster/shared"},
		{ObjectMeta: metav1.ObjectMeta{Name: "growing"}, Provisioner: "localcluster/shared", AllowVolumeExpansion: &grows},
		{ObjectMeta: metav1.ObjectMeta{Name: "split"}, Provisioner: "localcluster/split"},
	}
}

func main() {
	os.Exit(cli.Run(&cobra.Command{
		Use:  "provisioner KUBECONFIG DIRECTORY",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", args[0])
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			ctx := klog.NewContext(cmd.Context(), klog.Background())
			for _, class := range classes() {
				_, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{})
				if err != nil && !apierrors.IsAlreadyExists(err) {
					return err
				}
			}
			// Made one after the other: the constructor writes to the client library's global scheme.
			serve := func(name string, p hostPath) *controller.ProvisionController {
				return controller.NewProvisionController(ctx, client, name, p, controller.LeaderElection(false), controller.MetricsPort(0))
			}
			local := serve("localcluster/local", hostPath{root: args[1]})
			shared := serve("localcluster/shared", hostPath{root: args[1], shared: true})
			split := serve("localcluster/split", hostPath{
				root: filepath.Join(args[1], "split"), shared: true, twin: filepath.Join(args[1], "split-node2"),
			})
			go local.Run(ctx)
			go split.Run(ctx)
			shared.Run(ctx)
			return nil
		},
	}))
}
