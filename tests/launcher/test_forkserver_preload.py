"""What is imported before the fork, and that nothing of it belongs to somebody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.lab.servers import ForkServer

REMEMBERED = """
import gc, os, sys
from terakoya.launcher import preload
preload.everything()
assert gc.get_freeze_count() > 100_000
for name, module in list(sys.modules.items()):
    for key, value in list(vars(module).items()):
        if isinstance(value, (str, bytes, os.PathLike)) and os.fsdecode(value).startswith(preload.NO_HOME + "/"):
            print(name)
import asyncio, zmq
assert asyncio.get_event_loop_policy()._local._loop is None
assert zmq.Context._instance is None
"""


def run(program: str, *more: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", program, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_that_remember_a_home_are_known() -> None:
    """Each of these is mended in terakoya.lab.home, in the server's own process."""
    assert set(run(REMEMBERED).split()) == {"send2trash.plat_other"}


def test_a_package_that_starts_a_thread_is_named(tmp_path: Path) -> None:
    (tmp_path / "restless.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='ticker').start()\n"
    )
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from terakoya.launcher import preload\n"
        "preload._extensions = lambda: ['restless', 'there_is_no_such_package']\n"
        "try:\n    preload.everything()\n"
        "except preload.NotAloneError as error:\n    print(error.package, '|', error)\n"
        "del sys.modules['restless']\n"
    )
    assert run(program, str(tmp_path)).startswith("restless | restless started a thread while it was imported (")
    program = program.replace("preload.everything()", "preload.everything(['restless']); print('alone')")
    assert run(program.replace("del sys.modules['restless']", ""), str(tmp_path)) == "alone\n"


def test_a_jupyterlab_that_is_not_complete_is_told(tmp_path: Path) -> None:
    """A Python that has terakoya but not JupyterLab."""
    wrapper = tmp_path / "python"
    hide = "import sys; sys.modules['jupyterlab'] = None; sys.argv = ['forkserver']; "
    run_it = "from terakoya.launcher import forkserver; forkserver.main()"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -I -c "{hide}{run_it}"\n')
    wrapper.chmod(0o755)
    broken = ForkServer(str(wrapper))
    try:
        assert broken.hello["event"] == "failed"
        assert broken.hello["reason"].startswith("JupyterLab is not complete in this Python environment: ")
        assert "Traceback" in broken.hello["detail"]
    finally:
        broken.close()
