# SPDX-License-Identifier: Apache-2.0
"""The Conan 2 recipe. From the top of the repository: conan create csrc/packaging

It exports the sources that CMake needs and builds them with CMake. tests/conan runs it.
"""

import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir

required_conan_version = ">=2.0"


class AegisMemory(ConanFile):
    name = "aegis-memory"
    license = "Apache-2.0"
    description = "Memory layer for database engines: bump arenas, block pools and zero-copy buffers"
    topics = ("arena", "allocator", "pool", "buffer")
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False], "checks": [True, False]}
    default_options = {"shared": False, "fPIC": True, "checks": False}
    package_type = "library"
    implements = ["auto_shared_fpic"]
    languages = ["C"]

    def _root(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        header = load(self, os.path.join(self._root(), "include", "aegis_memory", "base.h"))
        numbers = re.findall(r"#define AEGIS_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
        self.version = ".".join(numbers)

    def export_sources(self):
        for pattern in ("include/*", "csrc/*", "LICENSE"):
            copy(self, pattern, self._root(), self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["AEGIS_TESTS"] = False
        if self.options.checks:
            toolchain.cache_variables["AEGIS_DEBUG"] = "ON"
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure(build_script_folder="csrc")
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        # Conan writes the files for CMake and for pkg-config itself, for the consumer's settings. gdb
        # would look for the other folder under its own prefix, and it contains the path of this build.
        for folder in ("lib/cmake", "lib/pkgconfig", "share/gdb"):
            rmdir(self, os.path.join(self.package_folder, folder))

    def package_info(self):
        self.cpp_info.libs = ["aegis_memory"]
        self.cpp_info.defines = ["AEGIS_SHARED" if self.options.shared else "AEGIS_STATIC"]
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.set_property("cmake_file_name", "aegis_memory")
        self.cpp_info.set_property("cmake_target_name", "aegis_memory::aegis_memory")
        self.cpp_info.set_property("pkg_config_name", "aegis-memory")
