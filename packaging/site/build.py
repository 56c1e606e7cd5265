"""Build a site from README.md and docs/: python packaging/site/build.py DIRECTORY

mkdocs checks the links and anchors; a warning of it is an error. Files outside docs/
are not on the site, so a link to one is shown as its path.
"""
from __future__ import annotations

import logging
import re
import shutil
import sys
import tempfile
from pathlib import Path

from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'packaging/site/mkdocs.yml'


def page(text: str, folder: str) -> str:
    """Return the text of a page, with its links as they are on the site.

    folder: where the page is in the clone, '' or 'docs/'.
    """
    def link(found: re.Match[str]) -> str:
        says, target = found.groups()
        if re.match(r'[a-z]+:|#', target):
            return found[0]
        path = target.removeprefix('../') if target.startswith('../') else (
            folder + target
        )
        if path.startswith('docs/'):
            return f'[{says}]({path.removeprefix("docs/")})'
        return f'{says} (`{path}`)'

    return re.sub(r'\[([^\]\[]*)\]\(([^)\s]+)\)', link, text)


def source(directory: Path) -> None:
    """Write the pages of the site as mkdocs reads them."""
    shutil.copytree(ROOT / 'docs', directory, dirs_exist_ok=True)
    for path in directory.glob('*.md'):
        path.write_text(page(path.read_text('utf-8'), 'docs/'), 'utf-8')
    readme = (ROOT / 'README.md').read_text('utf-8')
    (directory / 'index.md').write_text(page(readme, ''), 'utf-8')


def build(site: Path) -> None:
    """Build the site. Raises mkdocs.exceptions.Abort if a link leads nowhere."""
    logging.basicConfig(level=logging.WARNING, format='site: %(message)s')
    with tempfile.TemporaryDirectory() as pages:
        source(Path(pages))
        mkdocs_build(load_config(
            str(CONFIG), docs_dir=pages, site_dir=str(site), strict=True,
        ))


if __name__ == '__main__':
    build(Path(sys.argv[1]).resolve())
