// SPDX-License-Identifier: MIT
// Bytes that are no value: an error, or another value, but never memory that is not there, nor
// memory out of proportion. To be run under AddressSanitizer and UndefinedBehaviorSanitizer too.
#include <cadre/codec.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <random>
#include <span>

#include "support/codec_samples.hpp"

namespace cadre::test {
namespace {

using bytes = std::vector<std::byte>;

/// Damages a frame as a broken or malicious sender might: bits, bytes, counts, length.
void damage(bytes& frame, std::mt19937& random) {
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>{0, n - 1}(random);
  };
  for (std::size_t changes = below(4) + 1; changes > 0; --changes) {
    const std::size_t size = frame.size();
    switch (size == 0 ? 4 : below(6)) {
      case 0:
        frame[below(size)] ^= static_cast<std::byte>(1U << below(8));
        break;
      case 1:
        frame[below(size)] = static_cast<std::byte>(below(256));
        break;
      case 2:
        frame[below(size)] = std::byte{0xff};
        break;
      case 3:
        frame.resize(below(size));
        break;
      case 4:
        frame.resize(size + below(20) + 1, static_cast<std::byte>(below(256)));
        break;
      case 5:
        std::fill_n(frame.begin() + static_cast<std::ptrdiff_t>(below(size)), 1,
                    frame[below(size)]);
        break;
    }
  }
}

template <typename T>
bool is_refused(std::span<const std::byte> frame) {
  try {
    decoder in{frame};
    static_cast<void>(decode<T>(in));
    in.finish();
    return false;
  } catch (const codec_error&) {
    return true;
  }
}

template <typename... T>
bytes joined(const T&... values) {
  encoder out;
  (encode(out, values), ...);
  return {out.bytes().begin(), out.bytes().end()};
}

constexpr std::uint64_t huge = std::uint64_t{1} << 60;

}  // namespace

TEST(codec_damage, ends_in_an_error_or_a_value) {
  std::mt19937 random{20};
  std::size_t frames = 0;
  std::size_t refused = 0;
  visit_samples([&](const auto& value) {
    using type = std::remove_cvref_t<decltype(value)>;
    const auto good = encoded(value);
    for (int i = 0; i < 400; ++i, ++frames) {
      auto frame = good;
      damage(frame, random);
      refused += is_refused<type>(frame);
    }
  });

  EXPECT_GT(frames, 20'000U);
  EXPECT_GT(refused, frames / 4);
  EXPECT_LT(refused, frames);
}

TEST(codec_damage, every_shorter_frame_is_refused) {
  visit_samples([&](const auto& value) {
    using type = std::remove_cvref_t<decltype(value)>;
    const auto good = encoded(value);
    for (std::size_t size = 0; size < good.size(); ++size) {
      EXPECT_TRUE(is_refused<type>(std::span{good}.first(size))) << detail::type_name<type>();
    }
  });
}

TEST(codec_damage, every_longer_frame_is_refused) {
  visit_samples([&](const auto& value) {
    using type = std::remove_cvref_t<decltype(value)>;
    auto frame = encoded(value);
    frame.push_back(std::byte{0});
    EXPECT_TRUE(is_refused<type>(frame)) << detail::type_name<type>();
  });
}

TEST(codec_damage, a_bool_is_0_or_1) {
  EXPECT_TRUE(is_refused<bool>(joined('\2')));
  EXPECT_TRUE(is_refused<flag>(joined('\2')));
  EXPECT_TRUE(is_refused<with_bool>(joined('\1', '\2')));
  EXPECT_TRUE(is_refused<std::vector<bool>>(joined(std::uint64_t{1}, '\2')));
  EXPECT_TRUE(is_refused<std::optional<int>>(joined('\2', 1)));
}

TEST(codec_damage, a_variant_has_the_alternative) {
  EXPECT_TRUE((is_refused<std::variant<int, char>>(joined(std::uint32_t{2}, 1))));
}

// With a sanitizer, an allocation of this size would end the test; without, std::bad_alloc would.
TEST(codec_damage, no_count_is_believed_beyond_the_bytes) {
  EXPECT_TRUE(is_refused<std::string>(joined(huge, 1.0)));
  EXPECT_TRUE(is_refused<std::vector<double>>(joined(huge, 1.0)));
  EXPECT_TRUE(is_refused<std::vector<std::string>>(joined(huge, 1.0)));
  EXPECT_TRUE((is_refused<std::map<int, int>>(joined(huge, 1.0))));
  EXPECT_TRUE((is_refused<std::unordered_map<int, int>>(joined(huge, 1.0))));
  // 2^61 + 1 elements of 8 bytes are 8 bytes in 64 bits.
  EXPECT_TRUE(is_refused<std::vector<double>>(joined(huge * 2 + 1, 1.0)));
}

TEST(codec_damage, no_count_is_believed_of_elements_without_bytes) {
  EXPECT_TRUE(is_refused<std::vector<nothing>>(joined(huge)));
  EXPECT_TRUE(is_refused<std::list<std::tuple<>>>(joined(huge, 1.0)));
  EXPECT_TRUE((is_refused<std::vector<std::array<int, 0>>>(joined(huge, 1.0))));
  EXPECT_TRUE(is_refused<std::vector<serialized>>(joined(huge, 1.0)));
}

struct large {
  std::optional<std::array<char, 100'000>> maybe;
};

// A million of these would be 100 GB: none is made room for before its byte was read.
TEST(codec_damage, no_memory_is_reserved_for_elements_unread) {
  bytes frame = joined(std::uint64_t{1'000'000});
  frame.resize(frame.size() + 1'000'000, std::byte{2});

  EXPECT_TRUE(is_refused<std::vector<large>>(frame));
}

}  // namespace cadre::test
