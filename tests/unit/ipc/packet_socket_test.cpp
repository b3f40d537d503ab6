// SPDX-License-Identifier: MIT
#include "ipc/packet_socket.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/sanitizers.hpp"

namespace cadre::ipc {
namespace {

using mode = packet_socket::mode;
using outcome = packet_socket::outcome;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span{text});
}

descriptor any_descriptor() { return descriptor{::open("/dev/null", O_RDONLY | O_CLOEXEC)}; }

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {});
}

TEST(packet_socket, packets_arrive_whole_and_one_by_one) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};

  EXPECT_EQ(mine.send(bytes_of("first")), outcome::done);
  EXPECT_EQ(mine.send(bytes_of("second")), outcome::done);

  for (const std::string text : {"first", "second"}) {
    const packet_socket::packet got = theirs.receive(buffer);
    EXPECT_EQ(got.result, outcome::done);
    ASSERT_EQ(got.size, text.size());
    EXPECT_EQ(std::memcmp(buffer.data(), text.data(), text.size()), 0);
  }
}

TEST(packet_socket, descriptors_arrive_in_order_and_close_on_exec) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};
  auto [a, b] = packet_socket::pair();

  mine.send(bytes_of("two ends"), std::array{a.fd(), b.fd()});
  packet_socket::packet got = theirs.receive(buffer);

  ASSERT_EQ(got.descriptor_count, 2U);
  for (const descriptor& d : std::span{got.descriptors}.first(2)) {
    EXPECT_NE(::fcntl(d.get(), F_GETFD) & FD_CLOEXEC, 0);
  }
  packet_socket first{std::move(got.descriptors[0])};
  first.send(bytes_of("x"));
  EXPECT_EQ(b.receive(buffer).size, 1U);
}

TEST(packet_socket, as_many_descriptors_as_allowed_arrive) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};
  const descriptor one = any_descriptor();
  const std::vector<int> all(packet_socket::max_descriptors, one.get());

  mine.send(bytes_of("many"), all);

  EXPECT_EQ(theirs.receive(buffer).descriptor_count, all.size());
}

TEST(packet_socket, descriptors_that_nobody_takes_are_closed) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};
  const descriptor one = any_descriptor();
  const auto before = open_descriptors();

  mine.send(bytes_of("take it"), std::array{one.get(), one.get()});
  EXPECT_EQ(theirs.receive(buffer).descriptor_count, 2U);

  EXPECT_EQ(open_descriptors(), before);
}

TEST(packet_socket, a_packet_that_does_not_fit_is_cut_off_and_leaves_nothing_open) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 4> buffer{};
  const descriptor one = any_descriptor();
  const auto before = open_descriptors();
  mine.send(bytes_of("too long"), std::array{one.get()});
  mine.send(bytes_of("next"));

  EXPECT_TRUE(theirs.receive(buffer).cut_off);

  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(theirs.receive(buffer).size, 4U);
}

/// Sends what send() refuses to.
void send_descriptors(int socket, const std::vector<int>& descriptors) {
  std::byte one{};
  iovec part{&one, 1};
  const std::size_t size = descriptors.size() * sizeof(int);
  std::vector<std::byte> control(CMSG_SPACE(size));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(header), descriptors.data(), size);
  ASSERT_EQ(::sendmsg(socket, &message, MSG_NOSIGNAL), 1);
}

TEST(packet_socket, more_descriptors_than_allowed_are_cut_off_and_none_stays_open) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};
  const descriptor one = any_descriptor();
  const auto before = open_descriptors();
  send_descriptors(mine.fd(), std::vector<int>(packet_socket::max_descriptors + 1, one.get()));

  EXPECT_TRUE(theirs.receive(buffer).cut_off);

  EXPECT_EQ(open_descriptors(), before);
}

TEST(packet_socket, a_process_out_of_descriptors_is_told_and_keeps_none) {
  if (test::under_asan) GTEST_SKIP() << "UndefinedBehaviorSanitizer itself needs descriptors";
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};
  const descriptor one = any_descriptor();
  const auto before = open_descriptors();
  mine.send(bytes_of("two"), std::array{one.get(), one.get()});
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  rlimit tight = limit;
  tight.rlim_cur = static_cast<rlim_t>(one.get()) + 2;  // one more
  ::setrlimit(RLIMIT_NOFILE, &tight);

  EXPECT_TRUE(theirs.receive(buffer).cut_off);

  ::setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(packet_socket, the_end_of_the_other_is_told_to_both_directions) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};

  { const packet_socket dropped = std::move(theirs); }

  EXPECT_EQ(mine.receive(buffer).result, outcome::closed);
  EXPECT_EQ(mine.send(bytes_of("to nobody")), outcome::closed);  // and no SIGPIPE
}

TEST(packet_socket, what_was_sent_before_the_end_still_arrives) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};
  theirs.send(bytes_of("last"));

  { const packet_socket dropped = std::move(theirs); }

  EXPECT_EQ(mine.receive(buffer).size, 4U);
  EXPECT_EQ(mine.receive(buffer).result, outcome::closed);
}

TEST(packet_socket, who_does_not_wait_is_told_that_he_would_have_to) {
  auto [mine, theirs] = packet_socket::pair();
  std::array<std::byte, 16> buffer{};

  EXPECT_EQ(mine.receive(buffer, mode::dont_wait).result, outcome::would_block);
  outcome sent = outcome::done;
  while (sent == outcome::done) sent = mine.send(bytes_of("fill"), {}, mode::dont_wait);
  EXPECT_EQ(sent, outcome::would_block);
}

TEST(packet_socket, a_packet_of_nothing_is_refused) {
  auto [mine, theirs] = packet_socket::pair();

  EXPECT_THROW(mine.send({}), std::invalid_argument);
  EXPECT_THROW(mine.send(bytes_of("x"), std::vector<int>(9, 0)), std::invalid_argument);
}

}  // namespace
}  // namespace cadre::ipc
