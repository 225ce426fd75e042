#!/bin/sh
# submits the run train-[ID]; written by kubectl-mrunner 0.1.0
set -eu
cd "$(dirname "$0")"

# build and publish the image
docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file metadata.json --progress=plain - < context.tar

# make the namespace `vision`
kubectl --context kube-lab apply --server-side --field-manager=mrunner -f - -o name < namespace.json

# make the claim `storage`
kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < claim.json

# submit the Job `train-[ID]`
digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' metadata.json)
[ -n "$digest" ] || { echo "error: docker told no digest" >&2; exit 1; }
sed "s|registry.test:5000/vision/train:t-[KEY]|registry.test:5000/vision/train@$digest|" job.json | kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name
echo "next: kubectl mrunner logs -f -n vision train-[ID]" >&2
