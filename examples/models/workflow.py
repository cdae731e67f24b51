"""Which of a dozen models tells malignant from benign tumours best?

Prepares the Wisconsin breast cancer data that scikit-learn ships, scores each model of a grid by
cross validation, fits the best one again, and draws how it does on data that it has not seen.

    python workflow.py
"""

from itertools import repeat
from pathlib import Path

import bandsaw
from bandsaw import File

# The name of a model, what makes it, and the values of the one parameter that is tried.
GRID = {
    "logistic": ("C", [0.01, 0.1, 1, 10]),
    "neighbours": ("n_neighbors", [3, 9, 27]),
    "forest": ("max_depth", [2, 4, 8]),
    "vectors": ("C", [0.1, 10]),
}


@bandsaw.task
def prepare(unseen=0.25):
    """Splits the data into a part to learn from and one to judge by at the end."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    features, target = load_breast_cancer(return_X_y=True)
    parts = train_test_split(features, target, test_size=unseen, stratify=target, random_state=0)
    return dict(zip(("features", "unseen_features", "target", "unseen_target"), parts))


@bandsaw.task
def score(model, data):
    """The mean accuracy of one model over five folds."""
    from sklearn.model_selection import cross_val_score

    print("  scoring", *model)
    scores = cross_val_score(make(model), data["features"], data["target"], cv=5)
    return {"model": model, "accuracy": float(scores.mean()), "spread": float(scores.std())}


@bandsaw.task
def best(scores):
    """The model with the greatest accuracy. Of equals it is the first."""
    return max(scores, key=lambda row: row["accuracy"])["model"]


@bandsaw.task
def fit(model, data):
    """Fits a model to all that may be learned from, and returns it as a file."""
    import joblib

    path = made("model.joblib")
    joblib.dump(make(model).fit(data["features"], data["target"]), path)
    return File(path, to="results/{name}")


@bandsaw.task
def judge(file, data, scores):
    """Measures a fitted model on unseen data, and draws it with the scores of all."""
    import joblib
    import matplotlib.figure
    from sklearn.metrics import RocCurveDisplay

    fitted = joblib.load(file)
    figure = matplotlib.figure.Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.barh(
        [describe(row["model"]) for row in scores],
        [row["accuracy"] for row in scores],
        xerr=[row["spread"] for row in scores],
    )
    left.set(xlim=(0.8, 1), xlabel="accuracy over five folds")
    RocCurveDisplay.from_estimator(
        fitted, data["unseen_features"], data["unseen_target"], ax=right, name="unseen data"
    )
    path = made("models.png")
    figure.savefig(path)
    accuracy = fitted.score(data["unseen_features"], data["unseen_target"])
    return {"accuracy": float(accuracy), "plot": File(path, to="results/{name}")}


def made(name):
    """A path for a file that a task makes: where it runs, and where it arrives at the caller."""
    path = Path("results", name)
    path.parent.mkdir(exist_ok=True)
    return path


def models():
    """All models of the grid, each as (name, parameter, value)."""
    return [(name, key, value) for name, (key, values) in GRID.items() for value in values]


def make(model):
    """An estimator that has learned nothing yet."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    name, key, value = model
    estimators = {
        "logistic": LogisticRegression,
        "neighbours": KNeighborsClassifier,
        "forest": lambda **given: RandomForestClassifier(50, random_state=0, **given),
        "vectors": SVC,
    }
    return make_pipeline(StandardScaler(), estimators[name](**{key: value}))


def describe(model):
    """A model as people read it."""
    name, key, value = model
    return f"{name} {key}={value}"


def main():
    """Runs the workflow, and prints what came of it."""
    data = prepare()
    scores = list(score.map(models(), repeat(data)))
    winner = best(scores)
    file = fit(winner, data)
    judged = judge(file, data, scores)

    for row in scores:
        mark = "*" if row["model"] == winner else " "
        print(f"{mark} {describe(row['model']):<26} {row['accuracy']:.3f} +- {row['spread']:.3f}")
    print(f"{describe(winner)} is right in {judged['accuracy']:.1%} of what it has not seen")
    print(f"see {Path(file).relative_to(Path.cwd())}", end=" and ")
    print(Path(judged["plot"]).relative_to(Path.cwd()))


if __name__ == "__main__":
    main()
