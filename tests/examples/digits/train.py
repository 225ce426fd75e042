"""Learns to read handwritten digits, and leaves a model and its figures in $MRUNNER_OUTPUT."""

import argparse
import json
import os
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="how often the whole training set is seen")
    parser.add_argument("--hidden", type=int, default=32, help="neurons in the hidden layer")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def train(args):
    """Yields the scaler, the network and the epoch's figures after each epoch."""
    images, labels = load_digits(return_X_y=True)
    images, unseen, labels, truth = train_test_split(
        images, labels, test_size=0.25, random_state=args.seed, stratify=labels
    )
    scaler = StandardScaler().fit(images)
    images, unseen = scaler.transform(images), scaler.transform(unseen)
    network = MLPClassifier((args.hidden,), learning_rate_init=args.learning_rate, random_state=args.seed)
    order = np.random.default_rng(args.seed)
    for epoch in range(1, args.epochs + 1):
        for batch in np.array_split(order.permutation(len(images)), 20):
            network.partial_fit(images[batch], labels[batch], classes=np.arange(10))
        yield scaler, network, {
            "epoch": epoch,
            "loss": round(float(network.loss_), 4),
            "accuracy": round(float(accuracy_score(truth, network.predict(unseen))), 4),
        }


def main():
    args = arguments()
    output = Path(os.environ.get("MRUNNER_OUTPUT", "."))
    print("parameters:", json.dumps(vars(args)), flush=True)
    began, history = time.monotonic(), []
    for scaler, network, figures in train(args):
        print("epoch {epoch:3}  loss {loss:.4f}  accuracy {accuracy:.4f}".format(**figures), flush=True)
        history.append(figures)
    if not history:
        raise SystemExit("error: --epochs must be at least 1")
    metrics = {
        "accuracy": figures["accuracy"],
        "loss": figures["loss"],
        "seconds": round(time.monotonic() - began, 2),
    }
    output.mkdir(parents=True, exist_ok=True)
    joblib.dump(make_pipeline(scaler, network), output / "model.joblib")
    (output / "history.json").write_text(json.dumps(history) + "\n")
    (output / "metrics.json").write_text(json.dumps(metrics) + "\n")
    print(f"accuracy {metrics['accuracy']:.4f} on digits it had not seen; model.joblib and metrics.json are in {output}")


if __name__ == "__main__":
    main()
