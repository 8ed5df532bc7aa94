# SPDX-License-Identifier: Apache-2.0
"""Faults that the graph must show, and texts that it must not take for faults."""
import pathlib
import shutil
import tempfile

# What is wrong; the texts that are added to the ends of files; and a part of the report that must
# follow, or None where there must be no report.
FAULTS = [
    ("an include that runs up",
     {"csrc/base/planted.c": '#include "../arena/planted.h"\n', "csrc/arena/planted.h": ""},
     "csrc/base/planted.c -> csrc/arena/planted.h runs up"),
    ("a call that runs up",
     {"csrc/base/planted.c": "void aegis_i_planted(void);\n"
                             "static void planted(void) { aegis_i_planted(); }\n",
      "csrc/pool/planted.c": "void aegis_i_planted(void) {}\n"},
     "csrc/base/planted.c -> csrc/pool/planted.c runs up, from base to pool: aegis_i_planted"),
    ("a call that runs up through an inline function of the interface",
     {"csrc/base/planted.c": "static void planted(void) { aegis_planted(); }\n",
      "include/aegis_memory/planted.h":
          "AEGIS_INLINE void aegis_planted(void) { aegis_planted_slow(); }\n",
      "csrc/pool/planted.c": "void aegis_planted_slow(void) {}\n"},
     "csrc/base/planted.c -> csrc/pool/planted.c runs up, from base to pool: aegis_planted"),
    ("a macro that is used from the row's other layer",
     {"csrc/arena/planted.c": "int planted = AEGIS_I_PLANTED;\n",
      "csrc/pool/planted.h": "#define AEGIS_I_PLANTED \\\n    1\n"},
     "csrc/arena/planted.c -> csrc/pool/planted.h runs up, from arena to pool: AEGIS_I_PLANTED"),
    ("a circle of two files of C",
     {"csrc/pool/planted_a.c": "void aegis_i_planted_a(void) { aegis_i_planted_b(); }\n",
      "csrc/pool/planted_b.c": "void aegis_i_planted_b(void) { aegis_i_planted_a(); }\n"},
     "circle of csrc/pool/planted_a.c csrc/pool/planted_b.c\n"),
    ("a circle of a variable and a type",
     {"csrc/base/planted_a.h": "extern const aegis_i_planted_type aegis_i_planted;\n",
      "csrc/base/planted_a.c": "const aegis_i_planted_type aegis_i_planted = {1};\n",
      "csrc/base/planted_b.h": "struct aegis_i_planted_type { int planted; };\n"
                               "typedef struct aegis_i_planted_type aegis_i_planted_type;\n"
                               "#define AEGIS_I_PLANTED() aegis_i_planted.planted\n"},
     "circle of csrc/base/planted_a.[ch] csrc/base/planted_b.h\n"),
    ("a function whose body is nowhere",
     {"csrc/base/planted.c": "static void planted(void) { aegis_i_planted(); }\n"},
     "csrc/base/planted.c: tests/graph finds no aegis_i_planted"),
    ("a file of C without a layer", {"csrc/planted.c": ""}, "csrc/planted.c belongs to no layer"),
    ("no more than declarations, comments and texts",
     {"csrc/base/planted.c": "void aegis_i_planted(void); /* aegis_i_planted() */\n"
                             "extern int (*const aegis_i_planted_pointer)(int);\n"
                             "// aegis_i_planted()\n"
                             'const char *planted = "\\"aegis_i_planted()";\n',
      "csrc/pool/planted.c": "void aegis_i_planted(void) {}\n"
                             "int (*const aegis_i_planted_pointer)(int) = 0;\n"}, None),
    ("a `use` that runs up", {"src/heap.rs": "use crate::arena::Arena;\n"},
     "src/heap.rs -> src/arena"),
    ("a path that runs up", {"src/source.rs": "fn planted() { crate::pool::Pool::new() }\n"},
     "src/source.rs -> src/pool/"),
    ("a `use` of the row's other layer",
     {"src/arena/planted.rs": "use crate::{ffi, pool::{Pool as Planted}};\n"},
     "src/arena/planted.rs -> src/pool/"),
    ("a circle in Rust through a re-export",
     {"src/pool.rs": "mod planted_a;\nmod planted_b;\npub use planted_a::*;\n"
                     "pub(crate) use planted_b::B as Renamed;\n",
      "src/pool/planted_a.rs": "use super::Renamed;\npub struct A(Renamed);\n",
      "src/pool/planted_b.rs": "use super::{A, Pool};\npub struct B(Pool<A>);\n"},
     "circle of src/pool/planted_a.rs src/pool/planted_b.rs"),
    ("a circle in Rust by a macro",
     {"src/buffer/planted_a.rs": "use super::planted_b::B;\nmacro_rules! planted { () => {} }\n"
                                 "pub(super) use planted;\n",
      "src/buffer/planted_b.rs": "use super::planted_a::planted;\nstruct B;\nplanted!();\n"},
     "circle of src/buffer/planted_a.rs src/buffer/planted_b.rs\n"),
    ("a path to no item", {"src/heap.rs": "use crate::planted::Item;\n"},
     "src/heap.rs: tests/graph finds no crate::planted::Item"),
    ("a file of Rust without a layer", {"src/planted.rs": ""},
     "src/planted.rs belongs to no layer"),
    ("no more than tests, comments and texts in Rust",
     {"src/heap.rs": "// use crate::arena::Arena;\n/// [`Arena`](crate::arena::Arena)\n"
                     'const PLANTED: &str = r#""crate::arena::Arena"#;\n'
                     "#[cfg(test)]\nmod planted {\n    use crate::arena::Arena;\n}\n"}, None),
]


def missed(root, errors):
    """What of the faults is not found in copies of the tree."""
    before = set(errors(root))
    found = []
    for what, texts, report in FAULTS:
        with tempfile.TemporaryDirectory() as name:
            copy = pathlib.Path(name)
            for folder in ("csrc", "include", "src"):
                shutil.copytree(root / folder, copy / folder)
            plant(copy, texts)
            new = "\n".join(error for error in errors(copy) if error not in before)
        if (report not in new) if report else new:
            found.append(f"planted {what}, reported: {new or 'nothing'}")
    return found


def plant(copy, texts):
    for name, text in texts.items():
        path = copy / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(text)
