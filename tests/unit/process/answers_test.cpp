// SPDX-License-Identifier: MIT
#include "process/answers.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <span>

#include "ipc/packet_socket.hpp"
#include "support/channel_pair.hpp"

namespace cadre::process {
namespace {

// A worker that died there is buried when nothing of it is left to read: this was a hang.
TEST(answer_reader, takes_what_there_is_of_an_answer_cut_short) {
  test::channel_pair channel;
  auto [packets, others] = ipc::packet_socket::pair();
  const std::array<std::byte, 100> body{std::byte{1}, std::byte{2}};
  const answer_header header{.number = 7, .size = body.size()};
  answer_reader reader{1000};
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

}  // namespace
}  // namespace cadre::process
