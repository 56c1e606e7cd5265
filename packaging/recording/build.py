"""Record docs/pictures/quickstart.svg: python packaging/recording/build.py

It runs examples/quickstart.sh and `pollreload doctor` for real, and draws what they
print as a terminal. tests/docs/recording_test.py compares the text with that of a run.
"""
from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / 'docs/pictures/quickstart.svg'
COLUMNS = 104
LINE, MARGIN = 17, 16  # pixels
WIDTH = 7.3  # pixels of a character of 12 px
LONGEST = 120.0  # s that the quickstart may take


def quickstart(environment: Mapping[str, str]) -> str:
    """Return what the quickstart prints."""
    return subprocess.run(
        ('sh', 'examples/quickstart.sh'), cwd=ROOT, env=environment, check=True,
        capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL,
    ).stdout


def doctor() -> str:
    """Return what doctor prints for the server of the quickstart."""
    with tempfile.TemporaryDirectory() as top:
        config, program = Path(top, 'config'), Path(top, 'hello-server')
        config.mkdir()
        (config / 'greeting').write_text('hello\n')
        # The name of a process is that of the file it was started from.
        program.symlink_to(sys.executable)
        server = [program, ROOT / 'examples/quickstart/server.py', config / 'greeting']
        with subprocess.Popen(server, stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            try:
                return subprocess.run(
                    (
                        sys.executable, '-m', 'pollreload', 'doctor', '--process',
                        'hello-server', '--cmdline', top, 'config',
                    ),
                    cwd=top, env={**os.environ, 'PYTHONPATH': str(ROOT)}, text=True,
                    capture_output=True, check=True, timeout=LONGEST,
                ).stdout
            finally:
                child.terminate()


def shown(quickstart: str, doctor: str) -> list[str]:
    """Return the lines of the terminal; paths of this machine are shortened."""
    text = (
        f'$ sh examples/quickstart.sh\n{quickstart}\n'
        f'$ pollreload doctor --process hello-server config\n{doctor}'
    )
    text = text.replace(f'{ROOT}/', '')
    return [
        piece for line in text.splitlines()
        for piece in textwrap.wrap(
            line, COLUMNS, subsequent_indent='        ', drop_whitespace=True,
            break_on_hyphens=False,
        ) or ['']
    ]


def drawn(lines: list[str]) -> str:
    """Return an SVG of a terminal. Its background makes it readable anywhere."""
    width = int(COLUMNS * WIDTH) + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        colour = '#7ee787' if line.startswith('$ ') else '#e6edf3'
        # No-break spaces: browsers join others, whatever xml:space says.
        text = html.escape(line, quote=False).replace('  ', '\u00a0\u00a0')
        rows.append(
            f'<text x="{MARGIN}" y="{MARGIN + (number + 1) * LINE - 5}" '
            f'fill="{colour}">{text}</text>',
        )
    return '\n'.join((
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="monospace" font-size="12">',
        '<title>The quickstart and doctor on a terminal</title>',
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117" '
        f'stroke="#7d8590"/>',
        *rows, '</svg>', '',
    ))


def texts(picture: str) -> list[str]:
    """Return the lines that a picture shows."""
    return [
        html.unescape(each).replace('\u00a0', ' ')
        for each in re.findall(r'<text[^>]*>(.*?)</text>', picture)
    ]


def words(lines: list[str]) -> str:
    """Return the text of lines without what differs between runs and machines."""
    text = ' '.join(' '.join(lines).split())
    text = re.sub(r'(?:Installing pollreload into|Using the environment in) .*?'
                  r'\.quickstart', '', text)
    text = re.sub(r'pollreload\.\w+', 'pollreload.X', text)
    text = re.sub(r'(\d files?), \w+', r'\1, FS', text)
    text = re.sub(r'Next: .*?bin/pollreload', 'Next: pollreload', text)
    text = re.sub(r'\S+\.json', 'LEDGER', text)
    text = re.sub(r'\d+ other process(?:es are| is)', 'N other processes are', text)
    return re.sub(r'\d+', 'N', text).strip()


def parts() -> tuple[list[str], list[str]]:
    """Return the lines of the picture for the quickstart, and those for doctor."""
    lines = texts(PICTURE.read_text('utf-8'))
    prompts = [at for at, line in enumerate(lines) if line.startswith('$ ')]
    first, second = prompts
    return lines[first + 1:second], lines[second + 1:]


def main() -> None:
    """Write the picture."""
    lines = shown(quickstart(os.environ), doctor())
    PICTURE.write_text(drawn(lines), 'utf-8')


if __name__ == '__main__':
    main()
