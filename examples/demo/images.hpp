// SPDX-License-Identifier: MIT
// The demo's images: a folder of PNG files, some of them damaged, and a decoder that trusts them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace demo {

struct image_facts {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint64_t brightness = 0;  ///< the sum of all samples

  bool operator==(const image_facts&) const = default;
};

/// A file, and what a right decoder finds in it.
struct image {
  std::filesystem::path path;
  bool damaged = false;
  image_facts facts;
};

/// A folder of images that are the same at each run. Removed at the end.
class gallery {
 public:
  gallery();
  ~gallery();
  gallery(const gallery&) = delete;
  gallery& operator=(const gallery&) = delete;

  const std::vector<image>& images() const { return images_; }

 private:
  std::filesystem::path folder_;
  std::vector<image> images_;
};

/// Decodes a PNG file as many programs do: the size of the picture is computed in 32 bits, so that a
/// header that lies makes it write outside its memory, and what libpng cannot read ends the process.
image_facts decode(const std::filesystem::path& path);

}  // namespace demo
