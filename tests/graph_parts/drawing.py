# SPDX-License-Identifier: Apache-2.0
"""Draws the modules of both languages side by side, each layer above those that it may use."""

WIDTH = 470  # of a language's column
LEFT = 44  # beside each column, for arrows that pass a layer
GAP = 26  # between rows, for the other arrows
CELL = 20  # the height of a file's box
STYLE = """
text { font: 12px sans-serif; fill: #1f2328; }
.title { font-weight: bold; font-size: 15px; }
.layer { font-weight: bold; font-size: 13px; }
.panel { fill: #ffffff; stroke: #8c959f; }
.c { fill: #ddf4ff; stroke: #0969da; }
.rust { fill: #fff1e5; stroke: #bc4c00; }
.file { fill: #ffffff; stroke: #8c959f; }
.arrow { fill: none; stroke: #424a53; stroke-width: 1.5; marker-end: url(#head); }
"""
CAPTION = [
    "An arrow leads from a module to one that it uses; it is left out where others lead there.",
    "Inside a module, a file stands above the files that it uses. Drawn by tests/graph --svg.",
]


class Box:
    """A layer, with its files in rows, the lowest first."""

    def __init__(self, graph, layer, width):
        self.layer, self.width, self.rows = layer, width, []
        self.x = self.y = self.height = 0
        for rank in graph.ranks(layer):
            self.add_rank([label(node, layer) for node in rank])
        self.least = 30 + (CELL + 6) * len(self.rows)

    def add_rank(self, names):
        x = self.width
        for name in names:
            wide = round(7.3 * len(name)) + 14
            if x + wide > self.width - 8:
                self.rows.append([])
                x = 8
            self.rows[-1].append((x, wide, name))
            x += wide + 6

    def lines(self, style):
        yield rect(style, self.x, self.y, self.width, self.height)
        yield words("layer", self.x + 8, self.y + 18, self.layer)
        for number, row in enumerate(self.rows):
            y = self.y + self.height - (CELL + 6) * (number + 1)
            for x, wide, name in row:
                yield rect("file", self.x + x, y, wide, CELL)
                yield words("", self.x + x + 7, y + 14, name)


def label(node, layer):
    """A file's name without the folder and the language's ending."""
    name = node.removeprefix(layer + "/").split(".")[0]
    return name + (".h" if node.endswith(".h") else "")


def rect(style, x, y, width, height):
    return (f'<rect class="{style}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>')


def words(style, x, y, text):
    return f'<text class="{style}" x="{x}" y="{y}">{text}</text>'


def boxes(graph):
    """The boxes of each row of layers, bottom-up, without those that have no file."""
    rows = []
    for row in graph.rows:
        layers = [layer for layer in row if graph.ranks(layer)]
        width = (WIDTH - 10 * (len(layers) - 1)) // max(len(layers), 1)
        rows.append((row, [Box(graph, layer, width) for layer in layers]))
    return rows


def layer_arrows(graph):
    """Which layer uses which, without what follows from other arrows."""
    uses = {}
    for user, arrows in graph.arrows.items():
        for used in arrows:
            a, b = graph.layer(user), graph.layer(used)
            if a and b and a != b and graph.may_use(a, b):
                uses.setdefault(a, set()).add(b)
    reach = lambda a: uses.get(a, set()).union(*(reach(b) for b in uses.get(a, ())))
    return sorted((a, b) for a in uses for b in uses[a]
                  if not any(b in reach(other) for other in uses[a] if other != b))


def place(columns):
    """Puts rows that share a layer at one height; returns that of the drawing."""
    order = [row for row, _ in max(columns, key=len)]
    y = 70
    for row in reversed(order):
        here = [(i, box) for i, column in enumerate(columns)
                for boxed, list_ in column if set(boxed) & set(row) for box in list_]
        height = max((box.least for _, box in here), default=0)
        x = [LEFT + i * (WIDTH + 2 * LEFT) for i in range(len(columns))]
        for i, box in here:
            box.x, box.y, box.height = x[i], y, height
            x[i] += box.width + 10
        y += height + GAP if here else 0
    assert all(box.y for column in columns for _, list_ in column for box in list_), "no place"
    return y


def arrow_lines(graph, placed):
    """Arrows down, and around what lies between two boxes to the left or right of it."""
    lanes = {False: 0, True: 0}
    for user, used in layer_arrows(graph):
        a, b = placed[user], placed[used]
        left, right = max(a.x, b.x), min(a.x + a.width, b.x + b.width)
        between = any(a.y < box.y < b.y and box.x < right and left < box.x + box.width
                      for box in placed.values())
        if not between:
            x = end = (left + right) // 2
            if left > right:  # side by side
                x, end = (left + 30, right - 30) if a.x > b.x else (right - 30, left + 30)
            yield f'<path class="arrow" d="M{x} {a.y + a.height}L{end} {b.y - 2}"/>'
            continue
        column = min(box.x for box in placed.values())
        to_left = a.x == column and a.width < WIDTH
        lane, lanes[to_left] = lanes[to_left], lanes[to_left] + 1
        edge, way = (column, -1) if to_left else (column + WIDTH, 1)
        yield (f'<path class="arrow" d="M{edge} {a.y + a.height - 8 - 7 * lane}'
               f'H{edge + way * (12 + 9 * lane)}V{b.y + 8 + 7 * lane}H{edge + way * 2}"/>')


def svg(graphs):
    columns = [boxes(graph) for graph in graphs]
    height = place(columns)
    width = len(graphs) * (WIDTH + 2 * LEFT)
    total = height + 20 * len(CAPTION)
    lines = [
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img">',
        "<title>The modules of the C core and of the Rust crate, and which uses which</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="4" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#424a53"/></marker></defs>',
        rect("panel", 1, 1, width - 2, total - 2),
    ]
    for graph, column, style in zip(graphs, columns, ("c", "rust")):
        placed = {box.layer: box for _, row in column for box in row}
        x = LEFT + graphs.index(graph) * (WIDTH + 2 * LEFT)
        lines.append(words("title", x, 40, f"{graph.title}, {graph.folder}/"))
        for box in placed.values():
            lines += box.lines(style)
        lines += arrow_lines(graph, placed)
    lines += [words("", LEFT, height + 18 * i, text) for i, text in enumerate(CAPTION)]
    return "\n".join(lines + ["</svg>"]) + "\n"
