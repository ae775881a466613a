# A recipe for Spack: put this folder into a repository of packages as `tokengeom`, then `spack install tokengeom`.
# The options of cmake are those of packaging/build.sh, which a test compares.
from spack.package import *


class Tokengeom(CMakePackage):
    """Geometry of token representations in large language models: exact, MPI-parallel, one HDF5 file."""

    homepage = "https://arxiv.org/abs/2501.10573"
    license("GPL-3.0-or-later")

    version("main", branch="main")

    variant("onednn", default=True, description="bfloat16 products by oneDNN")
    variant("llama", default=False, description="run models in the process, through libllama")

    depends_on("c", type="build")
    depends_on("cxx", type="build", when="+llama")
    depends_on("cmake@3.21:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5@1.10:+mpi+hl")
    depends_on("openblas")
    depends_on("onednn@2.6:", when="+onednn")
    depends_on("gsl")
    depends_on("libyaml")
    depends_on("libmd")
    depends_on("jansson")
    depends_on("libarchive")
    depends_on("xxhash")
    depends_on("random123")
    depends_on("llama-cpp", when="+llama")

    def cmake_args(self):
        return [
            "-DBUILD_TESTING=OFF",
            "-DTG_BENCHMARKS=OFF",
            self.define_from_variant("TG_WITH_DNNL", "onednn"),
            self.define_from_variant("TG_WITH_LLAMA", "llama"),
        ]
