# SPDX-License-Identifier: Apache-2.0
"""The layers, and what is checked of the graph of one language."""

# Bottom-up. A layer may use itself and the layers of lower rows, but no other layer of its row. A
# layer has the folder and the file of its name, and the files and folders that are named here.
C_LAYERS = [["base"], ["source"], ["budget"], ["acquire"], ["arena", "pool"], ["buffer"], ["cache"],
            ["top"]]
RUST_LAYERS = [
    ["base"], ["source"], ["budget"], ["arena", "pool"], ["buffer", "collections"], ["cache"], ["top"]]
C_FILES = {"explain": "acquire"}
RUST_FILES = {"lib": "top", "freestanding": "source"} | dict.fromkeys(
    "allocator bindings ffi error unwind heap request short_list lines sealed unshared build_flags".split(), "base")


class Graph:
    """Files as nodes, and as arrows the names by which one file uses another."""

    def __init__(self, title, folder, rows, files):
        self.title, self.folder, self.rows, self.files = title, folder, rows, files
        self.height = {layer: row for row, layers in enumerate(rows) for layer in layers}
        self.arrows = {}
        # What the reader could not make out, an error each.
        self.unknown = []

    def path(self, node):
        return f"{self.folder}/{node}"

    def add(self, user, used, name):
        if user != used:
            names = self.arrows.setdefault(user, {}).setdefault(used, [])
            if name not in names:
                names.append(name)

    def layer(self, node):
        stem = node.partition("/")[0].split(".")[0]
        layer = self.files.get(stem, stem)
        return layer if layer in self.height else None

    def may_use(self, user, used):
        """Whether an arrow between two layers runs down."""
        return user == used or self.height[user] > self.height[used]

    def circles(self, nodes=None):
        """The groups of files that use each other, each sorted."""
        nodes = sorted(self.arrows) if nodes is None else nodes
        reached = {node: self.reached(node) for node in nodes}
        groups = {tuple(b for b in nodes if b in reached[a] and a in reached[b]) for a in nodes}
        return sorted(group for group in groups if group)

    def reached(self, node):
        found, todo = set(), [node]
        while todo:
            for used in self.arrows[todo.pop()]:
                if used not in found:
                    found.add(used)
                    todo.append(used)
        return found

    def ranks(self, layer):
        """The files of a layer in ranks: each file's rank is above those of the files it uses."""
        left = {node for node in self.arrows if self.layer(node) == layer}
        circle = {node: group for group in self.circles() for node in group}
        ranks = []
        while left:
            rank = sorted(node for node in left if not any(
                used in left and used not in circle.get(node, ()) for used in self.arrows[node]))
            ranks.append(rank)
            left.difference_update(rank)
        return ranks

    def errors(self):
        found = self.unknown + [
            f"{self.path(node)} belongs to no layer: see tests/graph_parts/layers.py"
            for node in sorted(self.arrows) if self.layer(node) is None]
        for user, arrows in sorted(self.arrows.items()):
            for used, names in sorted(arrows.items()):
                a, b = self.layer(user), self.layer(used)
                if a and b and not self.may_use(a, b):
                    found.append(f"{self.path(user)} -> {self.path(used)} runs up, "
                                 f"from {a} to {b}: {some(names)}")
        for group in self.circles():
            lines = [f"    {self.path(a)} -> {self.path(b)}: {some(self.arrows[a][b])}"
                     for a in group for b in sorted(self.arrows[a]) if b in group]
            found.append("\n".join([f"circle of {' '.join(map(self.path, group))}"] + lines))
        return found

    def text(self):
        lines = [f"{self.title}, {self.folder}/"]
        for layer in [layer for row in self.rows for layer in row]:
            lines.append(f"  {layer}")
            for node in (node for rank in self.ranks(layer) for node in rank):
                uses = [f"{used} ({short(names[0])})"
                        for used, names in sorted(self.arrows[node].items())]
                lines.append(f"    {node}" + (": " + ", ".join(uses) if uses else ""))
        return "\n".join(lines)


def short(name):
    return name.split("::")[-1]


def some(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
