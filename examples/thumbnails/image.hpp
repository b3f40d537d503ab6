// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace thumbnails {

/// Of either side of a thumbnail.
constexpr std::uint32_t max_size = 1024;

/// The file is no image that this program takes. Crosses from the workers as what it is.
struct bad_image : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The image, as PNG, scaled down until neither side is longer than `size`; never scaled up. Throws
/// bad_image.
std::string make_thumbnail(const std::string& png, std::uint32_t size);

/// Whether a file begins as one that make_thumbnail makes: a header of sides up to `size`.
bool is_thumbnail(std::string_view png, std::uint32_t size);

}  // namespace thumbnails
