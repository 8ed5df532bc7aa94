# SPDX-License-Identifier: Apache-2.0
"""Reads which file of the Rust crate uses which."""
import re

from layers import RUST_FILES, RUST_LAYERS, Graph

RUST_NOISE = re.compile(r"""//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*\""""
                        r"""|b?'(?:\\(?:u\{\w*\}|x..|.)|[^'\\\n])'""", re.S)
TEST = re.compile(r"#\[cfg\((all\()?test[,)]")
ITEMS = "fn struct enum union trait type const static".split()
INSIDE = ("crate", "self", "super")
QUALIFIED = ("fn", "unsafe", "extern", "async")


class Module:
    """A module, of a file or in one: its items, what it imports, and its other tokens."""

    def __init__(self, path, file):
        self.path, self.file, self.is_root = path, file, False
        self.items, self.imports, self.public, self.globs, self.body = set(), {}, set(), [], []


class RustReader:
    def __init__(self, root):
        self.modules, self.macros, self.includes = {}, {}, []
        for path in sorted((root / "src").rglob("*.rs")):
            file = path.relative_to(root / "src").as_posix()
            name = tuple(part for part in file[:-3].split("/") if part not in ("lib", "mod"))
            self.modules[name] = Module(name, file)
            text = path.read_text()
            self.includes += [(name, (stem,)) for stem in
                              re.findall(r'^include!\("(\w+)\.rs"\)', text, re.M)]
            tokens = re.findall(r"[A-Za-z_]\w*|\d\w*|::|\S", RUST_NOISE.sub(" ", text))
            self.read_items(tokens, 0, self.modules[name])
        for user, used in self.includes:
            self.modules[user].items |= self.modules[used].items

    def read_items(self, tokens, i, module):
        """Reads a module's items up to its end, and returns the index behind it."""
        public = test = False
        while i < len(tokens) and tokens[i] != "}":
            token, start = tokens[i], i
            if token == "#":
                i = skip(tokens, i + 1 + (tokens[i + 1] == "!"))
                test = test or TEST.match("".join(tokens[start:i])) is not None
                continue
            if token == "pub":
                public, i = True, skip(tokens, i + 1) if tokens[i + 1] == "(" else i + 1
                continue
            if token in ("unsafe", "async") or (token == "const" and tokens[i + 1] in QUALIFIED):
                i += 1
                continue
            i = self.read_item(tokens, i, Module((), "") if test else module, public)
            public = test = False
        return i + 1

    def read_item(self, tokens, i, module, public):
        token, after = tokens[i], tokens[i + 1]
        if token == "use":
            return self.read_use(tokens, i + 1, module, public)
        if token == "mod":
            return self.read_mod(tokens, i, module)
        if tokens[i:i + 2] == ["extern", "{"]:
            return self.read_items(tokens, i + 2, module)
        if tokens[i:i + 2] == ["extern", "crate"]:
            return tokens.index(";", i) + 1
        if tokens[i:i + 2] == ["macro_rules", "!"]:
            module.items.add(tokens[i + 2])
            self.macros.setdefault(tokens[i + 2], module.file or None)
        if token in ITEMS:
            module.items.add(tokens[i + 2] if after == "mut" else after)
        elif tokens[i:i + 2] == ["extern", "fn"]:
            module.items.add(tokens[i + 2])
        end = skip_item(tokens, i, token in ("const", "static", "type"))
        self.read_body(tokens[i:end], module)
        return end

    def read_mod(self, tokens, i, module):
        path = module.path + (tokens[i + 1],)
        if tokens[i + 2] == ";":
            module.is_root = True
            return i + 3
        inner = self.modules.setdefault(path, Module(path, module.file)) if module.file else module
        return self.read_items(tokens, i + 3, inner)

    def read_use(self, tokens, i, module, public):
        leaves, i = use_leaves(tokens, i, ())
        for path, name in leaves:
            if name == "*":
                module.globs.append(path)
            elif path != (name,):
                module.imports[name] = path
                module.public.update({name} if public else ())
        return i + 1

    def read_body(self, tokens, module):
        i = 0
        while i < len(tokens):
            if tokens[i] == "use" and tokens[i + 1] != "<":
                i = self.read_use(tokens, i + 1, module, False)
            else:
                module.body.append(tokens[i])
                i += 1

    def find(self, at, path, seen=()):
        """The module at a path that is written in another, or the file of the item there."""
        if not path or at is None:
            return at
        if (at, path) in seen:
            return None
        seen, head, rest = (*seen, (at, path)), path[0], path[1:]
        if head in INSIDE:
            there = {"crate": (), "self": at.path, "super": at.path[:-1]}[head]
            return self.find(self.modules.get(there), rest, seen)
        if head in at.items:
            return at.file
        found = self.find(at, at.imports[head], seen) if head in at.imports else None
        found = found or self.modules.get(at.path + (head,))
        for glob in at.globs if found is None else ():
            there = self.find(at, glob, seen)
            found = found or (isinstance(there, Module) and self.find(there, (head,), seen)) or None
        return self.find(found, rest, seen) if isinstance(found, Module) else found

    def graph(self):
        graph = Graph("Rust crate", "src", RUST_LAYERS, RUST_FILES)
        for module in self.modules.values():
            if module.body or not module.is_root:
                graph.arrows.setdefault(module.file, {})
        for module in self.modules.values():
            if module.file in graph.arrows:
                self.add_arrows(graph, module)
        for user, used in self.includes:
            graph.add(self.modules[user].file, self.modules[used].file, "include!")
        return graph

    def add_arrows(self, graph, module):
        words = {name for name, before in zip(module.body, [""] + module.body) if before != "."}
        paths = [path for name, path in module.imports.items()
                 if name in words or not (module.is_root and name in module.public)]
        paths += inline_paths(module.body)
        if module.globs:
            paths += [(name,) for name in sorted(words - module.imports.keys())]
        found = [(self.find(module, path), "::".join(path)) for path in paths]
        # A module that is imported comes last: a name in it says more. Of one that only collects
        # others' items, what is used is seen where it is used.
        found = ([(file, name) for file, name in found if not isinstance(file, Module)]
                 + [(there.file, name) for there, name in found
                    if isinstance(there, Module) and not there.is_root])
        for file, name in found:
            if file in graph.arrows:
                graph.add(module.file, file, name)
        graph.unknown += [f"{graph.path(module.file)}: tests/graph finds no {'::'.join(path)}"
                          for path in paths
                          if path[0] in INSIDE and self.find(module, path) is None]
        for name, mark in zip(module.body, module.body[1:]):
            if mark == "!" and self.macros.get(name) and not self.find(module, (name,)):
                graph.add(module.file, self.macros[name], name + "!")


def skip(tokens, i):
    """The index behind the bracket that closes the one at `i`."""
    depth = 0
    while True:
        depth += (tokens[i] in "([{") - (tokens[i] in ")]}")
        i += 1
        if depth == 0:
            return i


def skip_item(tokens, i, to_semicolon):
    while i < len(tokens):
        if tokens[i] == ";":
            return i + 1
        if tokens[i] in "([{":
            end = skip(tokens, i)
            if tokens[i] == "{" and not to_semicolon:
                return end
            i = end
        else:
            i += 1
    return i


def use_leaves(tokens, i, prefix):
    """The paths of a `use`, each with the name that it gets, and the index behind them."""
    leaves, path = [], prefix
    while tokens[i] not in (",", "}", ";"):
        token = tokens[i]
        if token == "{":
            while tokens[i] != "}":
                inner, i = use_leaves(tokens, i + 1, path)
                leaves += inner
            return leaves, i + 1
        if token == "*":
            return [(path, "*")], i + 1
        if token == "as":
            return [(path, tokens[i + 1])], i + 2
        if token == "::" and not path:
            path = ("::",)
        elif token != "::" and (token != "self" or not path):
            path += (token,)
        i += 1
    return ([(path, path[-1])] if path else []), i


def inline_paths(body):
    """The paths of two names or more in a module's code."""
    i, found = 0, {}
    while i < len(body):
        path, before = [body[i]], body[i - 1] if i else ""
        while body[i + 1:i + 2] == ["::"] and re.match(r"\w", "".join(body[i + 2:i + 3])):
            path.append(body[i + 2])
            i += 2
        if len(path) > 1 and before not in ("::", "."):
            found[tuple(path)] = True
        i += 1
    return list(found)
