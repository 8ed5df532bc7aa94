# SPDX-License-Identifier: Apache-2.0
"""Reads which file of the C core uses which."""
import re
import sys

from layers import C_FILES, C_LAYERS, Graph

C_NOISE = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.S)
NAME = re.compile(r"(?:aegis|AEGIS)_\w+")


class CFile:
    """What one file defines and mentions."""

    def __init__(self, path):
        text = path.read_text().replace("\\\n", " ")
        text = C_NOISE.sub(lambda match: match[0] if match[0][0] == '"' else " ", text)
        self.path = path
        self.includes = re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M)
        # What other files can see of a .c file is its functions and variables, `exported`. What is
        # only named, as in `typedef struct name name;`, counts where no header defines it.
        self.defined, self.exported, self.named = set(), set(), set()
        self.mentioned, self.bodies = [], {}
        text = C_NOISE.sub(" ", text)
        for directive, rest in re.findall(r"^\s*#\s*(\w+)(.*)$", text, re.M):
            self.read_directive(directive, NAME.findall(rest), rest)
        self.read_code(re.findall(r"\w+|\S", re.sub(r"^\s*#.*$", " ", text, flags=re.M)))

    def read_directive(self, directive, names, rest):
        if directive == "define" and names and rest.split()[0].startswith(names[0]):
            self.defined.add(names[0])
            self.bodies[names[0]] = names[1:]
            names = names[1:]
        if directive != "undef":
            self.mentioned += names

    def read_code(self, tokens):
        """Splits the code into definitions and declarations. A body in one becomes `{}`."""
        head, body, depth = [], [], 0
        for token in tokens:
            if depth == 0 and token == "{" and head == ["extern"]:
                head = []
            elif token == "{":
                depth += 1
            elif token == "}" and depth == 0:
                head = []
            elif token == "}" and depth == 1:
                depth, head = 0, self.end_body(head, body)
                body = []
            elif token == "}":
                depth -= 1
            elif depth:
                body.append(token)
            elif token == ";":
                head = self.end_declaration(head)
            else:
                head.append(token)
        if depth or head:
            sys.exit(f"{self.path}: tests/graph cannot read braces that the preprocessor splits")

    def end_body(self, head, body):
        names = [token for token in body if NAME.fullmatch(token)]
        self.mentioned += names
        function = declared_function(head)
        if ")" in head and "=" not in head and "typedef" not in head:
            self.mention(head, function)
            if function:
                self.exported.add(function)
                self.bodies[function] = names
            return []
        if "enum" in head:
            self.defined.update(b for a, b in zip([",", *body], body) if a == "," and NAME.match(b))
        return head + ["{}"]

    def end_declaration(self, head):
        declared = declared_function(head)
        tags = [b for a, b, c in zip(head, head[1:], head[2:])
                if a in ("struct", "union", "enum") and c == "{}"]
        self.defined.update(tags)
        if "typedef" in head:
            name = pointer(head) or declared or head[-1]
            forward = head[1] in ("struct", "union") and "{}" not in head
            (self.named if forward else self.defined).add(name)
        elif declared is None:
            declared = variable(head)
            self.exported.update({declared} if declared and "extern" not in head else ())
        self.mention(head, declared)
        return []

    def mention(self, head, declared):
        self.mentioned += [token for token in head if NAME.fullmatch(token) and token != declared]


def declared_function(head):
    """The name of the function that a declaration or a definition's head declares, if any."""
    depth = 0
    for token, after in zip(head, head[1:]):
        if token == "=":
            return None
        if depth == 0 and after == "(" and token.startswith("aegis_"):
            return token
        depth += (token == "(") - (token == ")")
    return None


def pointer(head):
    """The name of a pointer to a function."""
    match = re.search(r"\( \* (?:const )?(\w+) \)", " ".join(head))
    return match and match[1]


def variable(head):
    """The name of the library's that the declaration of a variable declares, if any."""
    ends = [i for i, token in enumerate(head) if token in ("=", "[")] + [len(head)]
    name = pointer(head[:ends[0]]) or "".join(head[max(ends[0] - 1, 0):ends[0]])
    return name if name.startswith("aegis_") else None


class CReader:
    def __init__(self, root):
        self.root = root
        read = lambda folder: [CFile(path) for path in sorted((root / folder).rglob("*.[ch]"))]
        self.core, public = read("csrc"), read("include")
        self.files = {file.path for file in self.core}
        self.interface = {name for file in public
                          for name in file.defined | file.exported | file.named}
        self.bodies = {name: body for file in public for name, body in file.bodies.items()}
        self.homes = {}
        for file in self.core:
            is_header = file.path.suffix == ".h"
            self.add_homes(file, file.exported | (file.defined if is_header else set()))
        known = set(self.homes)
        for file in self.core:
            self.add_homes(file, file.named - known if file.path.suffix == ".h" else ())

    def add_homes(self, file, names):
        for name in names:
            self.homes.setdefault(name, set()).add(self.unit(file.path))

    def unit(self, path):
        both = {path.with_suffix(end) for end in (".c", ".h")} <= self.files
        name = path.relative_to(self.root / "csrc").as_posix()
        return name[:-1] + "[ch]" if both else name

    def used(self, name, seen):
        """The units that a mention of a name leads to."""
        if name in seen:
            return set()
        seen.add(name)
        if name in self.interface:
            return set().union(*(self.used(inner, seen) for inner in self.bodies.get(name, ())))
        return self.homes.get(name, set())

    def graph(self):
        graph = Graph("C core", "csrc", C_LAYERS, C_FILES)
        for file in self.core:
            user = self.unit(file.path)
            graph.arrows.setdefault(user, {})
            for name in dict.fromkeys(file.mentioned):
                if name in file.defined:
                    continue
                used = self.used(name, set())
                for unit in sorted(used if user not in used else ()):
                    graph.add(user, unit, name)
                # Macros may be the build's options.
                if not name.isupper() and name not in self.homes and name not in self.interface:
                    graph.unknown.append(f"{graph.path(user)}: tests/graph finds no {name}")
            for include in file.includes:
                self.add_include(graph, file, user, include)
        return graph

    def add_include(self, graph, file, user, include):
        for folder in (file.path.parent, self.root / "csrc", self.root / "include"):
            path = (folder / include).resolve()
            if path in self.files:
                return graph.add(user, self.unit(path), f'#include "{include}"')
            if path.exists():
                return None
        sys.exit(f"{file.path}: there is no {include}")
