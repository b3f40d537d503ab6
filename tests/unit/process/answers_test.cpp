// SPDX-License-Identifier: MIT
#include "process/answers.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <span>

#include "ipc/channel.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"

namespace cadre::process {
namespace {

constexpr std::size_t ring_size = 4096;
constexpr auto mine = ipc::region::access::mine;

// A worker that died there is buried when nothing of it is left to read: this was a hang.
TEST(answer_reader, takes_what_there_is_of_an_answer_cut_short) {
  const auto parents = ipc::region::create(ipc::channel_region_size(ring_size), mine);
  const auto workers = ipc::region::create(ipc::channel_region_size(ring_size), mine);
  ipc::parent_end parent{ipc::own_half_of(parents.memory), ipc::peer_half_of(workers.memory)};
  ipc::worker_end worker{ipc::own_half_of(workers.memory), ipc::peer_half_of(parents.memory),
                         ipc::event{}};
  auto [packets, others] = ipc::packet_socket::pair();
  const std::array<std::byte, 100> body{std::byte{1}, std::byte{2}};
  const answer_header header{.number = 7, .size = body.size()};
  answer_reader reader{1000};
  answers batch;

  worker.write_some(std::as_bytes(std::span{&header, 1}));
  worker.write_some(std::span{body}.first(60));
  worker.publish();
  EXPECT_TRUE(reader.read(parent, packets, batch, 10));
  EXPECT_EQ(parent.readable(), 0U);
  EXPECT_TRUE(batch.list.empty());

  worker.write_some(std::span{body}.subspan(60));
  worker.publish();
  EXPECT_TRUE(reader.read(parent, packets, batch, 10));
  ASSERT_EQ(batch.list.size(), 1U);
  EXPECT_EQ(batch.list[0].header.number, 7U);
  EXPECT_EQ(batch.body(batch.list[0])[1], std::byte{2});
}

}  // namespace
}  // namespace cadre::process
