package wheels

import (
	"path"
	"strings"
)

// Version is the version of libtorch that is fetched.
const Version = "2.1.2"

// Pin names one wheel, and what of it is kept.
type Pin struct {
	Name, Version string // as pip knows them
	File          string // name of the wheel
	SHA256        string // of the wheel, in hex
	Size          int64  // of the wheel, in bytes
	Unpacked      int64  // upper bound of what is kept of it, in bytes
	Keep          func(name string) bool
}

// Pins returns the wheels that libtorch needs: for the CPU alone, or for CUDA as well. The small ones come first, so
// that a broken set-up shows before much has been fetched. What torch's wheel asks for (the versions) is CUDA 12.1;
// nvjitlink is not pinned there, so the release of the same CUDA version is taken.
func Pins(cuda bool) []Pin {
	pins := []Pin{
		nvidia("cuda-runtime", "12.1.105", "6e258468ddf5796e25f1dc591a31029fa317d97a0a94ed93468fc86301d61e40", 823596, 1),
		nvidia("cuda-cupti", "12.1.105", "e54fde3983165c624cb79254ae9818a456eb6e87a7fd4d56a2352c24ee542d7e", 14109015, 45),
	}
	torch := Pin{
		Name: "torch", Version: Version, File: "torch-2.1.2-cp311-cp311-manylinux1_x86_64.whl",
		SHA256: "a6ebbe517097ef289cc7952783588c72de071d4b15ce0f8b285093f0916b1162", Size: 670210421,
		Unpacked: 530 << 20, Keep: keepTorch(false),
	}
	if cuda {
		torch.Unpacked, torch.Keep = 1400<<20, keepTorch(true)
		pins = append(pins,
			nvidia("nvtx", "12.1.105", "dc21cf308ca5691e7c04d962e213f8a4aa9bbfa23d95412f452254c2caeb09e5", 99138, 1),
			nvidia("nvjitlink", "12.1.105", "015fed699b390ce3b8a8578d822d501a4194d0a341d3859554067c1ab291cb85", 19760890, 60),
			nvidia("cuda-nvrtc", "12.1.105", "339b385f50c309763ca65456ec75e17bbefcbbf2893f462cb8b90584cd27a1c2", 23671734, 65),
			nvidia("curand", "10.3.2.106", "9d264c5036dde4e64f1de8c50ae753237c12e0b1348738169cd0f8a536c0e1e0", 56467784, 100),
			nvidia("cufft", "11.0.2.54", "794e3948a1aa71fd817c3775866943936774d1c14e7628c74f6f7417224cdf56", 121635161, 200),
			nvidia("cusolver", "11.4.5.107", "8a7ec542f0412294b15072fa7dab71d31334014a69f953004ea7a118206fe0dd", 124161928, 200),
			nvidia("cusparse", "12.1.0.106", "f3b50f42cf363f86ab21f720998517a659a48131e8d538dc02f8768237bd884c", 195958278, 270),
			nvidia("nccl", "2.18.1", "1a6c4acefcbebfa6de320f412bf7866de856e786e0462326ba1bac40de0b5e71", 209797524, 280),
			nvidia("cublas", "12.1.3.1", "ee53ccca76a6fc08fb9701aa95b6ceb242cdaab118c3bb152af4e579af792728", 410594774, 620),
			nvidia("cudnn", "8.9.2.26", "5ccb288774fdfb07a7e7025ffec286971c06d8d7b4fb162525334616d7629ff9", 731725872, 1160),
		)
	}
	return append(pins, torch)
}

// nvidia is one of the wheels with CUDA's user-space libraries; of them the libraries and the licence are kept.
func nvidia(part, version, sum string, size int64, unpackedMiB int64) Pin {
	name := "nvidia-" + part + "-cu12"
	return Pin{
		Name: name, Version: version, SHA256: sum, Size: size, Unpacked: unpackedMiB << 20,
		File: strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-manylinux1_x86_64.whl",
		Keep: func(name string) bool {
			return isLicence(name) || strings.HasPrefix(name, "nvidia/") && path.Base(path.Dir(name)) == "lib" &&
				strings.Contains(path.Base(name), ".so")
		},
	}
}

// keepTorch tells what of torch's wheel a C++ program needs: headers, CMake files (they hold the ABI), licence and
// the libraries, without those for Python and, for the CPU, without those that need CUDA.
func keepTorch(cuda bool) func(string) bool {
	return func(name string) bool {
		if isLicence(name) || strings.HasPrefix(name, "torch/include/") || strings.HasPrefix(name, "torch/share/cmake/Torch/") {
			return true
		}
		if path.Dir(name) != "torch/lib" {
			return false
		}
		base := path.Base(name)
		switch base {
		case "libc10.so", "libtorch_cpu.so":
			return true
		case "libtorch.so", "libc10_cuda.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so":
			return cuda
		}
		return strings.HasPrefix(base, "libgomp-")
	}
}

func isLicence(name string) bool {
	if !strings.HasSuffix(strings.TrimSuffix(path.Dir(name), "/licenses"), ".dist-info") {
		return false
	}
	base := strings.ToUpper(path.Base(name))
	return strings.HasPrefix(base, "LICENSE") || strings.HasPrefix(base, "NOTICE")
}
