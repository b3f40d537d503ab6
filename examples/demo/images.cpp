// SPDX-License-Identifier: MIT
#include "images.hpp"

#include <png.h>
#include <stdlib.h>
#include <zlib.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace fs = std::filesystem;

namespace demo {
namespace {

using bytes = std::vector<unsigned char>;

constexpr std::size_t samples = 4;  // of a pixel: red, green, blue, alpha

bytes paint(std::uint32_t width, std::uint32_t height, std::uint32_t seed) {
  bytes picture(samples * width * height);
  for (std::size_t i = 0; i < picture.size(); ++i) {
    picture[i] = static_cast<unsigned char>(i * (seed + 1) / samples + i / width);
  }
  return picture;
}

bytes compress(const bytes& picture, std::uint32_t width, std::uint32_t height) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = width;
  header.height = height;
  header.format = PNG_FORMAT_RGBA;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  bytes file(size);
  if (png_image_write_to_memory(&header, file.data(), &size, 0, picture.data(), 0, nullptr) == 0) {
    throw std::runtime_error{std::string{"libpng cannot write an image: "} + header.message};
  }
  file.resize(size);
  return file;
}

void put_big_endian(std::span<unsigned char> to, std::uint32_t value) {
  for (unsigned char& byte : to) {
    byte = static_cast<unsigned char>(value >> 24);
    value <<= 8;
  }
}

/// One row, in a file that claims so many that their bytes, counted in 32 bits, are few again.
bytes make_oversized() {
  constexpr std::uint32_t width = 16384;
  constexpr std::uint32_t claimed_height = 65537;
  bytes file = compress(paint(width, 1, 0), width, 1);
  // 8 bytes of signature, then the header's length, name, width, height, 5 more, and its checksum.
  const std::span header{file};
  put_big_endian(header.subspan(20, 4), claimed_height);
  put_big_endian(header.subspan(29, 4),
                 static_cast<std::uint32_t>(::crc32(0, header.subspan(12, 17).data(), 17)));
  return file;
}

image make_image(const fs::path& folder, std::uint32_t number) {
  const std::uint32_t width = 64 + number;
  const std::uint32_t height = 48 + number;
  const bytes picture = paint(width, height, number);
  bytes file = compress(picture, width, height);

  image made;
  made.facts = {width, height, 0};
  for (const unsigned char sample : picture) made.facts.brightness += sample;
  std::string kind = "photo";
  if (number % 5 == 2) {
    kind = "truncated";
    file.resize(file.size() / 2);
  } else if (number % 10 == 9) {
    kind = "oversized";
    file = make_oversized();
  }
  made.damaged = kind != "photo";
  made.path = folder / (kind + std::to_string(number) + ".png");
  std::ofstream out{made.path, std::ios::binary};
  out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  if (!out.flush()) throw std::system_error{errno, std::generic_category(), made.path};
  return made;
}

fs::path make_folder() {
  std::string name = fs::temp_directory_path() / "cadre_demo_images_XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error{errno, std::generic_category(), "cannot make the folder " + name};
  }
  return name;
}

struct file_closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

struct reader {
  reader() {
    png = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, nullptr, [](png_structp, png_const_charp) { std::abort(); },
        [](png_structp, png_const_charp) {});
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) throw std::bad_alloc{};
  }
  ~reader() { png_destroy_read_struct(&png, &info, nullptr); }
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;

  png_structp png = nullptr;
  png_infop info = nullptr;
};

}  // namespace

gallery::gallery() : folder_{make_folder()} {
  constexpr std::uint32_t count = 40;
  for (std::uint32_t number = 0; number < count; ++number) {
    images_.push_back(make_image(folder_, number));
  }
}

gallery::~gallery() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

// [decode]
image_facts decode(const fs::path& path) {
  const std::unique_ptr<std::FILE, file_closer> file{std::fopen(path.c_str(), "rbe")};
  if (!file) throw fs::filesystem_error{"cannot read", path, {errno, std::generic_category()}};
  const reader in;
  png_init_io(in.png, file.get());
  png_read_info(in.png, in.info);
  image_facts facts;
  facts.width = png_get_image_width(in.png, in.info);
  facts.height = png_get_image_height(in.png, in.info);

  const std::uint32_t row = static_cast<std::uint32_t>(samples) * facts.width;
  const std::uint32_t size = row * facts.height;  // may be more than 32 bits hold
  bytes picture(size);
  for (std::size_t y = facts.height; y-- > 0;) {  // bottom up, as graphics cards like it
    png_read_row(in.png, picture.data() + y * row, nullptr);
  }
  for (const unsigned char sample : picture) facts.brightness += sample;
  return facts;
}
// [/decode]

}  // namespace demo
