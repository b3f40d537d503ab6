// SPDX-License-Identifier: MIT
#include "image.hpp"

#include <cadre/register_exception.hpp>

#include <png.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <vector>

namespace thumbnails {
namespace {

[[maybe_unused]] const bool registered = cadre::register_exception<bad_image>(
    [](cadre::encoder& out, const bad_image& e) { cadre::encode(out, std::string{e.what()}); },
    [](cadre::decoder& in) { return bad_image{cadre::decode<std::string>(in)}; });

/// A file of some kilobytes can claim to hold gigabytes; 16 megapixels are 64 MiB once decoded.
constexpr std::uint64_t max_pixels = 16'000'000;
constexpr std::size_t samples = 4;  // of a pixel: red, green, blue, alpha

struct picture {
  std::uint32_t width;
  std::uint32_t height;
  std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(samples * width * height);
};

/// libpng's, which frees what it holds.
struct png_file : png_image {
  png_file() : png_image{} {
    version = PNG_IMAGE_VERSION;
    format = PNG_FORMAT_RGBA;
  }
  ~png_file() { png_image_free(this); }
  png_file(const png_file&) = delete;
  png_file& operator=(const png_file&) = delete;
};

picture decode(const std::string& png) {
  png_file file;
  if (png_image_begin_read_from_memory(&file, png.data(), png.size()) == 0) {
    throw bad_image{std::string{"the body is no PNG that libpng can read: "} + file.message};
  }
  if (std::uint64_t{file.width} * file.height > max_pixels) {
    throw bad_image{"the image has " + std::to_string(file.width) + " x " +
                    std::to_string(file.height) + " pixels; this service takes up to " +
                    std::to_string(max_pixels) + "; send a smaller one"};
  }
  file.format = PNG_FORMAT_RGBA;  // of what we ask for; until here it was that of the file
  picture to{file.width, file.height};
  if (png_image_finish_read(&file, nullptr, to.pixels.data(), 0, nullptr) == 0) {
    throw bad_image{std::string{"libpng cannot decode the image: "} + file.message};
  }
  return to;
}

std::string encode(const picture& from) {
  png_file file;
  file.width = from.width;
  file.height = from.height;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(file);
  std::string png(size, '\0');
  if (png_image_write_to_memory(&file, png.data(), &size, 0, from.pixels.data(), 0, nullptr) == 0) {
    throw std::runtime_error{std::string{"libpng cannot write the thumbnail: "} + file.message};
  }
  png.resize(size);
  return png;
}

struct span {
  std::uint32_t begin;
  std::uint32_t end;
};

/// What of `from` samples in a row becomes sample number `at` of `to`.
span source_of(std::uint32_t at, std::uint32_t from, std::uint32_t to) {
  const auto begin = static_cast<std::uint32_t>(std::uint64_t{at} * from / to);
  const auto end = static_cast<std::uint32_t>((std::uint64_t{at} + 1) * from / to);
  return {begin, std::max(begin + 1, end)};
}

/// The mean of a box of pixels, where a transparent pixel has no colour to add.
void average(const picture& from, span rows, span columns, std::uint8_t* to) {
  std::array<std::uint64_t, samples> sum{};
  for (std::uint32_t y = rows.begin; y < rows.end; ++y) {
    for (std::uint32_t x = columns.begin; x < columns.end; ++x) {
      const std::uint8_t* pixel = &from.pixels[(std::size_t{y} * from.width + x) * samples];
      for (std::size_t i = 0; i < 3; ++i) sum[i] += std::uint64_t{pixel[i]} * pixel[3];
      sum[3] += pixel[3];
    }
  }
  if (sum[3] == 0) return;  // transparent black, as it is
  const std::uint64_t count =
      std::uint64_t{rows.end - rows.begin} * std::uint64_t{columns.end - columns.begin};
  for (std::size_t i = 0; i < 3; ++i) to[i] = static_cast<std::uint8_t>(sum[i] / sum[3]);
  to[3] = static_cast<std::uint8_t>(sum[3] / count);
}

/// A side of the thumbnail, rounded.
std::uint32_t scaled(std::uint32_t side, std::uint32_t longest, std::uint32_t size) {
  const std::uint64_t half = longest / 2;
  const auto length = static_cast<std::uint32_t>((std::uint64_t{side} * size + half) / longest);
  return std::max(length, std::uint32_t{1});
}

std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

}  // namespace

std::string make_thumbnail(const std::string& png, std::uint32_t size) {
  const picture from = decode(png);
  const std::uint32_t longest = std::max(from.width, from.height);
  if (longest <= size) return encode(from);  // not `png`, which may hold more than an image
  picture to{scaled(from.width, longest, size), scaled(from.height, longest, size)};
  std::uint8_t* pixel = to.pixels.data();
  for (std::uint32_t y = 0; y < to.height; ++y) {
    for (std::uint32_t x = 0; x < to.width; ++x, pixel += samples) {
      average(from, source_of(y, from.height, to.height), source_of(x, from.width, to.width),
              pixel);
    }
  }
  return encode(to);
}

bool is_thumbnail(std::string_view png, std::uint32_t size) {
  using namespace std::string_view_literals;
  constexpr std::string_view begin = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"sv;
  if (!png.starts_with(begin) || png.size() < begin.size() + 8) return false;
  const std::uint32_t width = big_endian(png.substr(begin.size(), 4));
  const std::uint32_t height = big_endian(png.substr(begin.size() + 4, 4));
  return width > 0 && width <= size && height > 0 && height <= size;
}

}  // namespace thumbnails
