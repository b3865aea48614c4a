"""How docstrings read on the site: names are those that users write, and lead to their entries."""

import inspect
import re
from typing import Any

from docutils import nodes
from qiskit.primitives.containers import EstimatorPubLike, SamplerPubLike
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import stringify_annotation

from docs._site import reference

CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
MARKUP = re.compile(r"(?<![\w*])\*+(?=\S)|\||(?<=\w)_(?=\W|$)")
ITEM = re.compile(r"\s*(\*{1,2}\w+:|[-*] )")
LETTER = re.compile(r"^(\s*(?:\w+: )?)(?=[A-Za-z]\.(?:\s|$))")  # not the first of a list, but a size or an initial
HOME = re.compile(r"(?<!~)qmljax\.[\w.]*\b_\w+\.[\w.]*")  # of a class without a public name
ALIASES = {
    name: stringify_annotation(union, "smart")
    for name, union in {"EstimatorPubLike": EstimatorPubLike, "SamplerPubLike": SamplerPubLike}.items()
}
NAME = re.compile(r"(?:qmljax|qj)?\.?([A-Za-z]\w*(?:\.\w+)*)(\(.*\))?", re.DOTALL)


def escape(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Between code and examples a docstring is plain text: ``|0>`` is no substitution, and ``loss_`` no reference."""
    # Napoleon takes a property's first line "a: b" for a text b of type a. An escaped end of line is nothing.
    text, example = ["\\"] if what == "property" else [], False
    for line in lines:
        example = line.lstrip().startswith((">>>", "...")) or example and bool(line.strip())
        text.append(line if example or line.lstrip().startswith(".. ") else _escaped(line))
    lines[:] = text


def _escaped(line: str) -> str:
    line = LETTER.sub(r"\1\\", line)
    mark = ITEM.match(line)
    start = mark.end() if mark else 0
    parts = CODE.split(line[start:])
    parts[::2] = [MARKUP.sub(lambda found: "".join("\\" + sign for sign in found[0]), part) for part in parts[::2]]
    # Markup ends only before a space or a sign: that of `Angle`s ends before an escaped space.
    return line[:start] + "".join("\\ " * (i > 0 and part[:1].isalnum()) + part for i, part in enumerate(parts))


def signature(app: Sphinx, what: str, name: str, thing: Any, options: Any, args: Any, returns: Any) -> Any:
    """Protocols and classes without a public name have no arguments: nobody makes them. Unions go by Qiskit's names."""
    private = inspect.isclass(thing) and (name.startswith("qmljax._") or "._" in name)
    if private or getattr(thing, "_is_protocol", False) and inspect.isclass(thing):
        return "", ""
    for alias, meant in ALIASES.items():
        args = args and args.replace(meant, alias)
    return args, returns


def skip(app: Sphinx, what: str, name: str, member: Any, skipped: bool, options: Any) -> bool | None:
    """Leaves out what a class inherits from another library, and what is there for JAX alone."""
    if name in ("tree_flatten", "tree_unflatten"):
        return True
    function = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
    return True if not (getattr(function, "__module__", None) or "").startswith("qmljax") else None


def plain_names(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """A class without a public name goes by its own, without its module; constants in defaults go by their values."""
    for part in list(content.parent.findall(nodes.Text)):
        if part == "MEMORY":
            part.parent.replace(part, nodes.Text("2**29"))
    for part in list(content.findall(nodes.Text)):  # the types of attributes
        if HOME.search(part):
            part.parent.replace(part, nodes.Text(HOME.sub(r"~\g<0>", part)))
    for part in list(content.parent.findall(addnodes.desc_addname)):
        if re.match(r"qmljax\.(\w+\.)*_", part.astext()):
            part.parent.remove(part)


class Links(SphinxTransform):
    """Lets a name of the package in a text, such as `qj.fit` or `noise.kraus(matrices)`, lead to its entry."""

    default_priority = 800

    def apply(self, **kwargs: Any) -> None:
        """Wraps the literals. What napoleon calls variables, the docstrings call attributes."""
        for field in self.document.findall(nodes.field_name):
            if field.astext() == "Variables":
                field[:] = [nodes.Text("Attributes")]
        for literal in list(self.document.findall(nodes.literal)):
            target = self.target(literal)
            if target and not isinstance(
                literal.parent, (nodes.reference, addnodes.pending_xref, addnodes.download_reference)
            ):
                link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=target, refexplicit=True)
                link["refdoc"] = self.env.docname
                literal.replace_self(link)
                link += literal

    def target(self, literal: nodes.literal) -> str | None:
        """The entry that a piece of code leads to, if any."""
        text = literal.astext()
        found = NAME.fullmatch(text)
        if not found:
            return None
        target = reference.linked().get(f"qmljax.{found[1]}")
        whole = text.startswith(("qj.", "qmljax.")) or "." in found[1]
        if whole or not self.env.docname.startswith("api/"):
            return target if whole else None
        return None if found[1] in _arguments(literal) else target  # in a docstring, a name may go without "qj."


def _arguments(node: nodes.Node) -> set[str]:
    """The names of the arguments of what is described around a node, and its own."""
    names: set[str] = set()
    while node.parent is not None:
        node = node.parent
        if isinstance(node, addnodes.desc):
            for part in node.findall(addnodes.desc_sig_name):
                names.add(part.astext())
            names |= {part.astext() for part in node.findall(addnodes.desc_name)}
            names |= {part.astext() for part in node.findall(nodes.strong)}  # fields
    return names
