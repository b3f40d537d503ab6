// SPDX-License-Identifier: MIT
// base/large_parts.hpp: what goes beside the bytes of an encoder, and comes back in pieces.
#include "base/large_parts.hpp"

#include <cadre/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/large_buffer.hpp"

namespace cadre::detail {
namespace {

using doubles = std::vector<double>;

doubles counting(std::size_t count) {
  doubles made(count);
  std::iota(made.begin(), made.end(), 0.0);
  return made;
}

std::vector<std::byte> joined(const large_parts& parts) {
  std::vector<std::byte> all;
  parts.for_each_piece([&](auto piece) { all.insert(all.end(), piece.begin(), piece.end()); });
  return all;
}

/// Gives what there is in pieces of one element.
class one_by_one final : public part_source {
 public:
  explicit one_by_one(std::span<const std::byte> bytes) : bytes_{bytes} {}
  std::span<const std::byte> next(std::size_t, std::size_t unit) override {
    const auto piece = bytes_.first(unit);
    bytes_ = bytes_.subspan(unit);
    return piece;
  }
  void end_part(std::size_t size) override { bytes_ = bytes_.subspan(padded(size) - size); }
  std::size_t left() const noexcept override { return bytes_.size(); }
  std::shared_ptr<const void> attached(std::uint64_t) override { return nullptr; }

 private:
  std::span<const std::byte> bytes_;
};

struct encoded {
  explicit encoded(const doubles& value, large_parts::mode how = large_parts::mode::copied)
      : parts{how, nullptr} {
    const parts_beside beside{out, parts};
    encode(out, value);
  }
  encoder out;
  large_parts parts;
};

}  // namespace

TEST(large_parts, take_large_vectors_out_of_the_stream) {
  const encoded small{counting(8191)};
  const encoded large{counting(8192)};

  EXPECT_TRUE(small.parts.empty());
  EXPECT_EQ(large.out.size(), sizeof(std::uint64_t));
  EXPECT_EQ(large.parts.size(), 65'536U);
  EXPECT_EQ(joined(large.parts).size(), large.parts.size());
}

TEST(large_parts, come_back_in_any_pieces) {
  const doubles value = counting(10'001);
  const encoded sent{value};
  const auto bytes = joined(sent.parts);

  decoder whole{sent.out.bytes()};
  parts_in_memory in_memory{bytes};
  apart::receive(whole, in_memory);
  decoder slow{sent.out.bytes()};
  one_by_one single{bytes};
  apart::receive(slow, single);

  EXPECT_EQ(decode<doubles>(whole), value);
  EXPECT_EQ(decode<doubles>(slow), value);
  EXPECT_NO_THROW(whole.finish());
  EXPECT_NO_THROW(slow.finish());
}

TEST(large_parts, are_refused_if_they_are_missing_or_too_short) {
  const encoded sent{counting(10'000)};
  auto bytes = joined(sent.parts);
  bytes.resize(bytes.size() - 200);

  decoder none{sent.out.bytes()};
  decoder few{sent.out.bytes()};
  parts_in_memory short_ones{bytes};
  apart::receive(few, short_ones);

  EXPECT_THROW(decode<doubles>(none), codec_error);
  EXPECT_THROW(decode<doubles>(few), codec_error);
}

TEST(large_parts, that_nobody_read_are_too_many) {
  const encoded sent{counting(10'000)};
  const auto bytes = joined(sent.parts);

  decoder in{{}};
  parts_in_memory parts{bytes};
  apart::receive(in, parts);

  EXPECT_THROW(in.finish(), codec_error);
}

TEST(large_parts, are_copied_unless_they_stay) {
  doubles value = counting(10'000);
  const encoded copied{value};
  const encoded referred{value, large_parts::mode::referred};

  value[0] = 7;

  EXPECT_EQ(joined(copied.parts)[7], std::byte{0});
  EXPECT_NE(joined(referred.parts)[7], std::byte{0});
}

TEST(large_parts, are_forgotten_with_the_bytes_that_named_them) {
  encoder out;
  large_parts parts{large_parts::mode::copied, nullptr};
  const parts_beside beside{out, parts};
  encode(out, counting(10'000));
  const std::size_t mark = out.size();
  const std::size_t before = parts.size();

  encode(out, counting(20'000));
  out.truncate(mark);

  EXPECT_EQ(parts.size(), before);
}

TEST(large_buffer, is_used_again) {
  std::byte* first = nullptr;
  {
    const large_buffer some{std::size_t{5} << 20};
    first = some.data();
  }

  const large_buffer again{(std::size_t{5} << 20) - 1000};

  EXPECT_EQ(again.data(), first);
}

TEST(large_buffer, is_not_used_for_what_is_much_smaller) {
  { const large_buffer some{std::size_t{40} << 20}; }

  const large_buffer small{std::size_t{1} << 20};

  EXPECT_LT(small.capacity(), std::size_t{2} << 20);
}

}  // namespace cadre::detail
