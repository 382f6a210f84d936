"""What runs inside of the sandbox: the standard library, IPython, and what programs are given.

The folder is copied out of the package and imported as `isobath_kernel` there, so it only ever
imports itself relatively."""
