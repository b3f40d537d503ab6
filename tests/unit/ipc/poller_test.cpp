// SPDX-License-Identifier: MIT
// ipc/poller.hpp, ipc/event.hpp and ipc/alarm.hpp.
#include "ipc/poller.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "ipc/alarm.hpp"
#include "ipc/event.hpp"
#include "ipc/packet_socket.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"

namespace cadre::ipc {
namespace {

using std::chrono::steady_clock;
using test::long_time;
using test::short_time;

sync::time_point now() { return steady_clock::now(); }

TEST(poller, a_ring_is_reported_once) {
  const event bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  std::array<poller::ready, 4> found{};

  bell.ring();

  ASSERT_EQ(p.wait(found), 1U);
  EXPECT_EQ(found[0].token, 7U);
  EXPECT_EQ(p.wait(found, now()), 0U);
}

TEST(poller, what_is_paused_is_not_reported_before_it_is_resumed) {
  const event bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  std::array<poller::ready, 4> found{};

  p.pause(bell.fd());
  bell.ring();
  EXPECT_EQ(p.wait(found, now() + short_time), 0U);

  p.resume(bell.fd(), 8, poller::trigger::edge);
  ASSERT_EQ(p.wait(found), 1U);
  EXPECT_EQ(found[0].token, 8U);
  EXPECT_EQ(p.wait(found, now()), 0U);
}

TEST(poll_until, ends_at_its_deadline_or_when_a_descriptor_can_be_read) {
  const event bell;
  std::array<pollfd, 1> one{{{bell.fd(), POLLIN, 0}}};
  const auto deadline = now() + short_time;

  EXPECT_FALSE(poll_until(one, deadline));
  EXPECT_GE(now(), deadline);

  bell.ring();
  EXPECT_TRUE(poll_until(one, sync::never));
}

TEST(poller, each_alarm_is_reported_once_and_not_before_its_time) {
  const alarm bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  std::array<poller::ready, 4> found{};

  for (int turn = 0; turn < 3; ++turn) {
    const auto begin = now();
    bell.ring_after(short_time);

    ASSERT_EQ(p.wait(found, begin + long_time), 1U);
    EXPECT_EQ(found[0].token, 7U);
    EXPECT_GE(now() - begin, short_time);
    EXPECT_EQ(p.wait(found, now() + 2 * short_time), 0U);
  }
}

TEST(poller, an_alarm_that_was_set_anew_does_not_ring_before) {
  const alarm bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  std::array<poller::ready, 4> found{};

  const auto begin = now();
  bell.ring_after(short_time);
  bell.ring_after(3 * short_time);

  ASSERT_EQ(p.wait(found, begin + long_time), 1U);
  EXPECT_GE(now() - begin, 3 * short_time);
}

TEST(poller, each_ring_after_a_report_is_reported) {
  const event bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  std::array<poller::ready, 4> found{};

  for (int turn = 0; turn < 3; ++turn) {
    bell.ring();
    bell.ring();
    EXPECT_EQ(p.wait(found, now()), 1U) << "turn " << turn;
    EXPECT_EQ(p.wait(found, now()), 0U) << "turn " << turn;
  }
}

TEST(poller, a_ring_ends_a_wait) {
  const event bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  std::size_t count = 0;
  test::other_thread waiter{[&] {
    poller::ready found;
    count = p.wait({&found, 1});
  }};

  waiter.await_asleep();
  bell.ring();
  waiter.join();

  EXPECT_EQ(count, 1U);
}

TEST(poller, a_level_is_reported_until_it_was_read) {
  auto [mine, theirs] = packet_socket::pair();
  poller p;
  p.add(mine.fd(), 1, poller::trigger::level);
  std::array<poller::ready, 4> found{};
  std::array<std::byte, 1> one{};

  theirs.send(one);

  EXPECT_EQ(p.wait(found, now()), 1U);
  EXPECT_EQ(p.wait(found, now()), 1U);
  mine.receive(one);
  EXPECT_EQ(p.wait(found, now()), 0U);
}

TEST(poller, a_hang_up_is_told) {
  auto [mine, theirs] = packet_socket::pair();
  poller p;
  p.add(mine.fd(), 1, poller::trigger::level);
  poller::ready found{};

  { const packet_socket dropped = std::move(theirs); }

  ASSERT_EQ(p.wait({&found, 1}), 1U);
  EXPECT_TRUE(found.hung_up);
}

TEST(poller, what_was_removed_is_not_reported) {
  const event bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  poller::ready found{};

  bell.ring();
  p.remove(bell.fd());

  EXPECT_EQ(p.wait({&found, 1}, now()), 0U);
}

TEST(poller, a_wait_ends_at_its_deadline_and_not_before) {
  poller p;
  poller::ready found{};
  const auto deadline = now() + short_time;

  EXPECT_EQ(p.wait({&found, 1}, deadline), 0U);
  EXPECT_GE(now(), deadline);
}

TEST(poller, a_signal_does_not_end_a_wait) {
  static std::atomic<int> signals{0};
  signals = 0;  // the test may be repeated
  struct sigaction count {};
  count.sa_handler = [](int) { ++signals; };
  struct sigaction before {};
  ::sigaction(SIGUSR1, &count, &before);
  const event bell;
  poller p;
  p.add(bell.fd(), 7, poller::trigger::edge);
  poller::ready found;

  const auto await_asleep = [tid = ::gettid()] {
    while (!test::is_asleep(tid)) std::this_thread::yield();
  };
  std::jthread other{[&, waiting = ::pthread_self()] {
    await_asleep();
    ::pthread_kill(waiting, SIGUSR1);
    while (signals.load() == 0) std::this_thread::yield();
    await_asleep();
    bell.ring();
  }};

  EXPECT_EQ(p.wait({&found, 1}, now() + long_time), 1U);
  EXPECT_EQ(signals.load(), 1);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(poller, nothing_is_inherited_by_programs) {
  const event bell;
  auto [mine, theirs] = packet_socket::pair();

  for (const int fd : {bell.fd(), mine.fd(), theirs.fd()}) {
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
  }
}

TEST(event, a_ring_never_blocks) {
  const event bell;
  constexpr std::uint64_t full = UINT64_MAX - 1;
  ASSERT_EQ(::write(bell.fd(), &full, sizeof full), static_cast<ssize_t>(sizeof full));

  bell.ring();

  std::uint64_t count = 0;
  EXPECT_EQ(::read(bell.fd(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
  EXPECT_EQ(count, full);
}

}  // namespace
}  // namespace cadre::ipc
