package wheels

import (
	"path"
	"strings"
)

// The versions of libtorch that are fetched: the one that gotch's C layer was generated
// from, and the newest that the module's own floor was tried with.
const (
	Version = "2.1.2"
	Newest  = "2.15.0"
)

// Pin names one wheel, and what of it is kept.
type Pin struct {
	Name, Version string // as pip knows them
	File          string // name of the wheel
	SHA256        string // of the wheel, in hex
	Size          int64  // of the wheel, in bytes
	Unpacked      int64  // upper bound of what is kept of it, in bytes
	Keep          func(name string) bool
}

// platforms are the platform tags in the wheel's name, which pip must be told.
func (p Pin) platforms() []string {
	name := strings.TrimSuffix(p.File, ".whl")
	return strings.Split(name[strings.LastIndex(name, "-")+1:], ".")
}

// Pins returns the wheels that a version needs, [Version] or [Newest]: for the CPU alone, or for CUDA as well. The small
// ones come first, so that a broken set-up shows before much has been fetched.
func Pins(version string, cuda bool) []Pin {
	if version == Newest {
		return newest(cuda)
	}
	return oldest(cuda)
}

// oldest is [Version]: what torch's wheel asks for is CUDA 12.1; nvjitlink is not pinned there, so the release of the same
// CUDA version is taken.
func oldest(cuda bool) []Pin {
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

// newest is [Newest], with CUDA 13.2. Its wheels keep all libraries in one folder, nvidia/cu13/lib, or in one of their own.
func newest(cuda bool) []Pin {
	const two17, two27 = "manylinux2014_x86_64.manylinux_2_17_x86_64", "manylinux_2_27_x86_64"
	pins := []Pin{
		cuda13("nvidia-cuda-runtime", "13.2.86", two17, "3498247680dfddce31bad102af7e3e26fc795342a3cac64722bb0fa95e7f60f0", 2323576, 2),
		cuda13("nvidia-cuda-cupti", "13.2.86", "manylinux_2_25_x86_64", "8fa29f15dd8336181f961764d9d95236fc6b931dd0c8fcf8cd70aab0c310b586", 11988600, 60),
	}
	torch := Pin{
		Name: "torch", Version: Newest, File: "torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl",
		SHA256: "48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e", Size: 539136850,
		Unpacked: 560 << 20, Keep: keepTorch(false),
	}
	if cuda {
		torch.Unpacked, torch.Keep = 1200<<20, keepTorch(true)
		pins = append(pins,
			cuda13("nvidia-nvtx", "13.2.86", "manylinux1_x86_64.manylinux_2_5_x86_64", "968ce72baee2a01791c7d3254000eac81f24677b0b91c62d21b449a1f309c245", 153463, 1),
			cuda13("nvidia-cufile", "1.17.1.22", two27, "87feaf8c3ad20d3d03a01933181801ff6892bace5c8f0b1e4b48f319d3e62d36", 1387670, 8),
			cuda13("nvidia-nvjitlink", "13.2.86", "manylinux2010_x86_64.manylinux_2_12_x86_64", "285a9cead9924391588d794400bdd7e8f9d1a277a7d78ed79acfa0ea702a14dd", 41370546, 160),
			cuda13("nvidia-cuda-nvrtc", "13.2.86", "manylinux2010_x86_64.manylinux_2_12_x86_64", "8111c5130e967b78222ea2124145f8efe9ce201b752b2579a2513100a53be1c5", 47018468, 190),
			cuda13("nvidia-curand", "10.4.2.66", two27, "9bb3796a2f6223454b2e326e3d7572c1500cfa4d629de827676b4eeecd30ab0c", 59954122, 240),
			cuda13("nvidia-nvshmem-cu13", "3.7.2", two17, "b9a4f843c62b5dded8ad33fd6d220e007dcd39f06cee549292f5ba14ce4c235c", 135397797, 540),
			cuda13("nvidia-cusparse", "12.7.10.12", two17, "25907c75e4db1581685f06f61cc6cdecc04611765516a52373e0a18ebd69fa00", 150999307, 600),
			cuda13("nvidia-cusparselt-cu13", "0.8.1", "manylinux2014_x86_64", "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0", 170148586, 680),
			cuda13("nvidia-nccl-cu13", "2.30.7", "manylinux_2_18_x86_64", "cefa7fdb9710efd0f39c5f1be1d61ff6fc9a996c451265bd7fbdcf9455ed4b50", 215965170, 860),
			cuda13("nvidia-cufft", "12.2.0.57", two17, "34da27fadf3979b0b042c43823f0530be8408b86df31ee0108e1ca0b621d4ef6", 218258101, 870),
			cuda13("nvidia-cusolver", "12.2.0.11", two27, "fab5778f6769947389a1a6abc07e635576825a08c0ffc68c3ae7f1392c794b42", 227913465, 910),
			cuda13("nvidia-cublas", "13.4.1.3", two27, "a5917cb642cfb07f4a0231ee16aec7e2e0357d8cb8b1b78a0c9c68dba3e6afc7", 404870805, 1600),
			cuda13("nvidia-cudnn-cu13", "9.26.0.51", two27, "9c976d539786698c71d6bcdbe2053b7485fae062ff7e1215d2f2ff67b1a2149a", 519150073, 2000),
		)
	}
	return append(pins, torch)
}

// cuda13 is one of the wheels with CUDA 13's user-space libraries.
func cuda13(name, version, platform, sum string, size int64, unpackedMiB int64) Pin {
	p := libraries(name, version, sum, size, unpackedMiB)
	p.File = strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-" + platform + ".whl"
	return p
}

// nvidia is one of the wheels with CUDA 12's user-space libraries.
func nvidia(part, version, sum string, size int64, unpackedMiB int64) Pin {
	name := "nvidia-" + part + "-cu12"
	p := libraries(name, version, sum, size, unpackedMiB)
	p.File = strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-manylinux1_x86_64.whl"
	return p
}

// libraries is a wheel of which the libraries and the licence are kept.
func libraries(name, version, sum string, size int64, unpackedMiB int64) Pin {
	return Pin{
		Name: name, Version: version, SHA256: sum, Size: size, Unpacked: unpackedMiB << 20,
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
		case "libtorch.so", "libc10_cuda.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so", "libtorch_nvshmem.so":
			return cuda
		}
		return strings.HasPrefix(base, "libgomp-") || strings.HasPrefix(base, "libgomp.so")
	}
}

func isLicence(name string) bool {
	if !strings.HasSuffix(strings.TrimSuffix(path.Dir(name), "/licenses"), ".dist-info") {
		return false
	}
	base := strings.ToUpper(path.Base(name))
	return strings.HasPrefix(base, "LICENSE") || strings.HasPrefix(base, "NOTICE")
}
