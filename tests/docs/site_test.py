"""The site of docs/: it is built without a warning, and its links lead somewhere."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.scripts import load

build = load('site/build.py')

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import pathlib, sys
sys.path.insert(0, {folder!r})
import build
build.ROOT = pathlib.Path({root!r})
build.build(pathlib.Path({site!r}))
"""


def built(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a clone, in a process of its own: mkdocs keeps global state."""
    script = SCRIPT.format(
        folder=str(ROOT / 'packaging/site'), root=str(root), site=str(site),
    )
    return subprocess.run(
        (sys.executable, '-c', script), capture_output=True, text=True, timeout=100,
        check=False, stdin=subprocess.DEVNULL,
    )


def test_site_has_every_page_and_a_search(tmp_path: Path) -> None:
    """Each page of docs/ is there, can be searched, and loads nothing from elsewhere.
    """
    done = built(ROOT, tmp_path / 'site')

    assert done.returncode == 0, done.stderr
    # Diagrams are pictures: the theme would load Mermaid from another host.
    for path in (tmp_path / 'site').rglob('*.html'):
        page = path.read_text('utf-8')
        assert 'class="mermaid"' not in page
        assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', page)
    names = {path.stem for path in (ROOT / 'docs').glob('*.md')}
    assert len(names) > 10
    assert all((tmp_path / 'site' / name / 'index.html').exists() for name in names)
    start = (tmp_path / 'site/index.html').read_text('utf-8')
    assert 'src="pictures/overview.svg"' in start
    assert (tmp_path / 'site/pictures/overview.svg').exists()
    index = json.loads((tmp_path / 'site/search/search_index.json').read_text('utf-8'))
    found = {each['location'].partition('/')[0] for each in index['docs']}
    assert names <= found


def test_broken_link_and_broken_anchor_fail(tmp_path: Path) -> None:
    """mkdocs is strict: a page or a heading that is missing fails the build."""
    for number, target in enumerate(('absent.md', 'servers.md#absent')):
        root = tmp_path / str(number)
        (root / 'docs').mkdir(parents=True)
        for path in (ROOT / 'docs').glob('*.md'):
            (root / 'docs' / path.name).write_text('# Title\n')
        (root / 'README.md').write_text(f'# Start\n\n[there](docs/{target})\n')

        done = built(root, root / 'site')

        assert done.returncode != 0
        assert re.search(f'site: .*{target.partition("#")[2] or target}', done.stderr)


def test_links_are_those_of_the_site() -> None:
    """Pages and anchors stay links; a file of the clone is shown as its path."""
    text = '[a](docs/b.md#c) [d](LICENSE) [e](https://example.org) [f](#g)'

    assert build.page(text, '') == (
        '[a](b.md#c) d (`LICENSE`) [e](https://example.org) [f](#g)'
    )
    assert build.page('[a](b.md) [c](../examples/d.yaml)', 'docs/') == (
        '[a](b.md) c (`examples/d.yaml`)'
    )
