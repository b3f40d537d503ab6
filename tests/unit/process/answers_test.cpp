// SPDX-License-Identifier: MIT
#include "process/answers.hpp"

#include <cadre/codec.hpp>
#include <cadre/errors.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/large_parts.hpp"
#include "ipc/packet_socket.hpp"
#include "support/channel_pair.hpp"

namespace cadre::process {
namespace {

constexpr std::uint64_t secret = 7;

/// As the frame after so many others.
answer_header checked(answer_header header, unsigned frames_before = 0) {
  frame_checks checks{secret};
  while (frames_before-- != 0) checks.advance();
  header.check = checks.next();
  return header;
}

// A worker that died there is buried when nothing of it is left to read: this was a hang.
TEST(answer_reader, takes_what_there_is_of_an_answer_cut_short) {
  test::channel_pair channel;
  auto [packets, others] = ipc::packet_socket::pair();
  const std::array<std::byte, 100> body{std::byte{1}, std::byte{2}};
  const answer_header header = checked({.number = 7, .size = body.size()});
  answer_reader reader{1000, secret};
  answers batch;

  channel.worker.write_some(std::as_bytes(std::span{&header, 1}));
  channel.worker.write_some(std::span{body}.first(60));
  channel.worker.publish();
  EXPECT_TRUE(reader.read(channel.parent, packets, batch, 10));
  EXPECT_EQ(channel.parent.readable(), 0U);
  EXPECT_TRUE(batch.list.empty());

  channel.worker.write_some(std::span{body}.subspan(60));
  channel.worker.publish();
  EXPECT_TRUE(reader.read(channel.parent, packets, batch, 10));
  ASSERT_EQ(batch.list.size(), 1U);
  EXPECT_EQ(batch.list[0].header.number, 7U);
  EXPECT_EQ(batch.body(batch.list[0])[1], std::byte{2});
}

using numbers = std::vector<std::uint64_t>;

numbers counting(std::size_t count) {
  numbers made(count);
  std::iota(made.begin(), made.end(), 1U);
  return made;
}

// What it is told of an answer, and refuses before it reads any more of it.
TEST(answer_reader, refuses_an_answer_that_cannot_be) {
  constexpr std::uint64_t most = 1000;
  const answer_header good = checked({.number = 1, .size = 8, .parts = 64});
  answer_header replayed = good;  // the second frame, with the check of the first
  const std::vector<std::pair<answer_header, bool>> all{
      {good, true},
      {{.number = 1}, false},  // no check at all
      {checked({.number = 1}, 1), false},
      {checked({.kind = frame_kind::call}), false},
      {checked({.kind = static_cast<frame_kind>(99)}), false},
      {checked({.kind = frame_kind::skipped, .size = 1}), false},
      {checked({.kind = frame_kind::skipped, .parts = 64}), false},
      {checked({.kind = frame_kind::error, .size = 8, .parts = 64}), false},
      {checked({.kind = frame_kind::error, .packets = 1, .size = 8}), false},
      {checked({.size = most + 1}), false},
      {checked({.size = most, .parts = 1}), false},
      {checked({.size = 8, .parts = ~std::uint64_t{0}}), false},
  };
  for (std::size_t i = 0; i != all.size(); ++i) {
    test::channel_pair channel;
    auto [packets, others] = ipc::packet_socket::pair();
    answer_reader reader{most, secret};
    answers batch;
    channel.worker.write_some(std::as_bytes(std::span{&all[i].first, 1}));
    channel.worker.publish();
    EXPECT_EQ(reader.read(channel.parent, packets, batch, 10), all[i].second) << i;
  }

  test::channel_pair channel;
  auto [packets, others] = ipc::packet_socket::pair();
  answer_reader reader{most, secret};
  answers batch;
  replayed.size = replayed.parts = 0;
  for (int i = 0; i < 2; ++i) {
    channel.worker.write_some(std::as_bytes(std::span{&replayed, 1}));
    channel.worker.publish();
    EXPECT_EQ(reader.read(channel.parent, packets, batch, 10), i == 0);
  }
}

/// The bytes of an answer whose body is one word and these parts.
std::vector<std::byte> answer_of(std::uint64_t word, std::span<const std::uint64_t> parts,
                                 unsigned frames_before = 0) {
  answer_header header = checked({.number = 1, .size = sizeof word}, frames_before);
  header.parts = detail::padded(parts.size_bytes());
  std::vector<std::byte> all(sizeof header + detail::part_alignment + header.parts);
  std::memcpy(all.data(), &header, sizeof header);
  std::memcpy(all.data() + sizeof header, &word, sizeof word);
  std::memcpy(all.data() + sizeof header + detail::part_alignment, parts.data(),
              parts.size_bytes());
  return all;
}

/// The other side of a worker that sends `bytes` in pieces, each of which is read before the next.
class reading {
 public:
  explicit reading(std::size_t before) {
    // So that what follows begins anywhere in the ring.
    const std::vector<std::byte> none(before);
    channel_.worker.write_some(none);
    channel_.worker.publish();
    channel_.parent.consume(channel_.parent.readable());
  }

  void receive(std::span<const std::byte> bytes, std::size_t piece) {
    while (!bytes.empty()) {
      const auto next = bytes.first(std::min(piece, bytes.size()));
      ASSERT_EQ(channel_.worker.write_some(next), next.size());
      channel_.worker.publish();
      bytes = bytes.subspan(next.size());
      ASSERT_TRUE(reader_.read(channel_.parent, packets_.first, batch, 10));
      if (reader_.asks_where()) {
        reader_.put_it(&detail::builtin_codec<numbers>::land);
        ASSERT_TRUE(reader_.read(channel_.parent, packets_.first, batch, 10));
      }
      ASSERT_EQ(channel_.parent.readable(), 0U) << "all that is there is taken";
    }
  }

  answers batch;

 private:
  test::channel_pair channel_;
  std::pair<ipc::packet_socket, ipc::packet_socket> packets_ = ipc::packet_socket::pair();
  answer_reader reader_{100'000, secret};
};

/// As a pool decodes it.
numbers decoded(answers& batch) {
  answer& a = batch.list.at(0);
  decoder in{batch.body(a)};
  detail::parts_in_memory parts{batch.parts(a), a.landed.get()};
  detail::apart::receive(in, parts);
  numbers value = decode<numbers>(in);
  in.finish();
  return value;
}

// Pieces of 1 and 13 bytes part elements; from 3 on, these are not aligned; 4000 goes round the ring.
TEST(answer_reader, puts_a_large_vector_in_its_place_however_it_arrives) {
  const numbers value = counting(1003);
  const auto bytes = answer_of(value.size() | detail::apart_bit, value);
  for (const std::size_t before : {0U, 3U, 4U, 4000U}) {
    for (const std::size_t piece : {1U, 13U, 64U, 1000U, 4000U}) {
      SCOPED_TRACE(testing::Message{} << before << ' ' << piece);
      reading r{before};
      r.receive(bytes, piece);
      ASSERT_EQ(r.batch.list.size(), 1U);
      EXPECT_TRUE(r.batch.list[0].landed);
      EXPECT_EQ(decoded(r.batch), value);
    }
  }
}

TEST(answer_reader, has_the_next_answer_behind_one_in_its_place) {
  const numbers value = counting(100);
  auto bytes = answer_of(value.size() | detail::apart_bit, value);
  const auto second = answer_of(value.size() | detail::apart_bit, value, 1);
  bytes.insert(bytes.end(), second.begin(), second.end());
  reading r{0};

  r.receive(bytes, 700);

  ASSERT_EQ(r.batch.list.size(), 2U);
  std::swap(r.batch.list[0], r.batch.list[1]);
  EXPECT_EQ(decoded(r.batch), value);
}

// A worker may say anything.
TEST(answer_reader, puts_nothing_in_its_place_that_does_not_fit_its_count) {
  const numbers value = counting(100);
  for (const std::uint64_t count : {0ULL, 99ULL - 8, 109ULL, 1ULL << 40, ~0ULL >> 1}) {
    SCOPED_TRACE(count);
    reading r{0};
    r.receive(answer_of(count | detail::apart_bit, value), 500);
    ASSERT_EQ(r.batch.list.size(), 1U);
    EXPECT_FALSE(r.batch.list[0].landed);
    EXPECT_THROW(decoded(r.batch), codec_error);
  }
}

}  // namespace
}  // namespace cadre::process
