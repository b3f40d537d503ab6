// SPDX-License-Identifier: MIT
// How the two ends of ipc/channel.hpp sleep and wake each other, under every schedule.
#include "ipc/channel.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <functional>

#include "holds.hpp"
#include "model_channel.hpp"

namespace cadre_model {
namespace {

using namespace cadre::ipc;

const auto some_day = cadre::sync::never - std::chrono::hours{1};

using both_sides = model_channel<4>;

constexpr std::array bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};

std::span<const std::byte> first(std::size_t count) { return std::span{bytes}.first(count); }

template <typename End>
void send(End& end, std::size_t count) {
  check(end.write_some(first(count)) == count, "there is room");
  end.publish();
}

template <typename End>
void receive(End& end, std::size_t count) {
  std::array<std::byte, 4> got{};
  check(end.read_some(got.data(), count) == count, "it is there");
}

// A lost wake-up is a deadlock, which the explorer reports.
const options with_spurious_wakes{.preemptions = 4, .spurious = true};

// Red when S2 comes before S1, or S0 after S1; when a wait after a spurious wake keeps its number;
// and when P3 rings without changing the bell.
TEST(channel_model, the_worker_misses_no_bytes) {
  EXPECT_TRUE(holds(with_spurious_wakes, [] {
    both_sides c;
    in_parallel(
        [&] {
          for (int call = 0; call < 2; ++call) {
            check(c.worker_waits({.bytes = 1}), "bytes end the wait");
            receive(c.worker, 1);
          }
        },
        [&] {
          send(c.parent, 1);
          send(c.parent, 1);
        });
  }));
}

TEST(channel_model, the_worker_may_wait_for_more_than_the_first_bytes) {
  EXPECT_TRUE(holds(with_spurious_wakes, [] {
    both_sides c;
    in_parallel(
        [&] {
          check(c.worker_waits({.bytes = 3}), "enough bytes end the wait");
          receive(c.worker, 3);
        },
        [&] {
          send(c.parent, 1);
          send(c.parent, 1);
          send(c.parent, 1);
        });
  }));
}

// Red when consume() wakes nobody, or only who waits for bytes.
TEST(channel_model, the_worker_misses_no_room) {
  EXPECT_TRUE(holds(with_spurious_wakes, [] {
    both_sides c;
    send(c.worker, 4);
    in_parallel(
        [&] {
          check(c.worker_waits({.room = 2}), "room ends the wait");
          send(c.worker, 2);
        },
        [&] {
          receive(c.parent, 1);
          receive(c.parent, 1);
        });
  }));
}

// Red when S2 comes before S1, P2 before P1, or arm() keeps its number.
TEST(channel_model, the_parent_misses_no_bytes) {
  EXPECT_TRUE(holds(with_spurious_wakes, [] {
    both_sides c;
    in_parallel(
        [&] {
          for (int result = 0; result < 2; ++result) {
            check(c.parent_waits({.bytes = 1}), "bytes end the wait");
            receive(c.parent, 1);
          }
        },
        [&] {
          send(c.worker, 1);
          send(c.worker, 1);
        });
  }));
}

// Red when wait() or run_dry() wakes nobody, or only who cannot wait.
TEST(channel_model, the_parent_may_be_rung_late_but_is_before_the_worker_sleeps) {
  EXPECT_TRUE(holds(with_spurious_wakes, [] {
    both_sides c;
    in_parallel(
        [&] {
          for (int result = 0; result < 2; ++result) {
            check(c.parent_waits({.bytes = 1, .late = true}), "bytes end the wait");
            receive(c.parent, 1);
          }
          send(c.parent, 1);
        },
        [&] {
          send(c.worker, 1);
          send(c.worker, 1);
          check(c.worker_waits({.bytes = 1}), "it is answered");
        });
  }));
}

TEST(channel_model, the_parent_misses_no_room) {
  EXPECT_TRUE(holds(with_spurious_wakes, [] {
    both_sides c;
    send(c.parent, 4);
    in_parallel(
        [&] {
          check(c.parent_waits({.bytes = 1, .room = 2}), "room ends the wait");
          send(c.parent, 2);
        },
        [&] {
          receive(c.worker, 1);
          receive(c.worker, 1);
        });
  }));
}

TEST(channel_model, a_call_and_its_result_go_round) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    both_sides c;
    in_parallel(
        [&] {
          for (int call = 0; call < 2; ++call) {
            c.worker_waits({.bytes = 1});
            receive(c.worker, 1);
            send(c.worker, 1);
          }
        },
        [&] {
          for (int call = 0; call < 2; ++call) {
            send(c.parent, 1);
            c.parent_waits({.bytes = 1});
            receive(c.parent, 1);
          }
        });
  }));
}

// Both fill their rings before they read: whoever waits must wait for room and bytes.
TEST(channel_model, messages_above_the_ring_stream_both_ways_at_once) {
  EXPECT_TRUE(holds([] {
    both_sides c;
    constexpr std::size_t size = both_sides::capacity + 2;
    const auto exchange = [](auto& end, auto wait) {
      std::array<std::byte, 4> got{};
      for (std::size_t written = 0, read = 0; written < size || read < size;) {
        const std::size_t out = end.write_some(first(std::min(bytes.size(), size - written)));
        end.publish();
        const std::size_t in = end.read_some(got.data(), got.size());
        written += out;
        read += in;
        if (out + in == 0) {
          wait({.bytes = read < size ? 1U : 0U, .room = written < size ? 1U : 0U});
        }
      }
    };
    in_parallel([&] { exchange(c.parent, [&](wish w) { c.parent_waits(w); }); },
                [&] { exchange(c.worker, [&](wish w) { c.worker_waits(w); }); });
  }));
}

// One thread of the parent sends while another takes results and goes to sleep.
TEST(channel_model, the_parent_may_write_and_read_at_the_same_time) {
  EXPECT_TRUE(holds([] {
    both_sides c;
    in_parallel([&] { send(c.parent, 1); },
                [&] {
                  c.parent_waits({.bytes = 1});
                  receive(c.parent, 1);
                },
                [&] {
                  c.worker_waits({.bytes = 1});
                  receive(c.worker, 1);
                  send(c.worker, 1);
                });
  }));
}

/// What a sleeper that survives may see: it returns, at the latest by its deadline, and finds whole
/// messages of two bytes.
void outlives(const std::function<bool()>& waits, const std::function<std::size_t()>& readable) {
  const bool came = waits();
  const std::size_t there = readable();
  check(there % 2 == 0, "no half message");
  check(!came || there >= 2, "a granted wish is there");
}

TEST(channel_model, a_sleeper_survives_the_death_of_its_waker) {
  const options waker_is_killed{.preemptions = 3, .victim = 2};
  EXPECT_TRUE(holds_if_killed(waker_is_killed, [] {
    both_sides c;
    in_parallel(
        [&] {
          outlives([&] { return c.worker_waits({.bytes = 2}, some_day); },
                   [&] { return c.worker.readable(); });
          check(!c.worker.poisoned(), "a dead parent poisons nothing");
        },
        [&] {
          send(c.parent, 2);
          send(c.parent, 2);
        });
  }));
  EXPECT_TRUE(holds_if_killed(waker_is_killed, [] {
    both_sides c;
    in_parallel(
        [&] {
          outlives([&] { return c.parent_waits({.bytes = 2}, some_day); },
                   [&] { return c.parent.readable(); });
          check(!c.parent.poisoned(), "a dead worker poisons nothing");
        },
        [&] {
          send(c.worker, 2);
          send(c.worker, 2);
        });
  }));
}

TEST(channel_model, a_waker_survives_the_death_of_the_sleeper) {
  const options sleeper_is_killed{.preemptions = 3, .victim = 1};
  EXPECT_TRUE(holds_if_killed(sleeper_is_killed, [] {
    both_sides c;
    in_parallel([&] { c.worker_waits({.bytes = 1}); },
                [&] {
                  send(c.parent, 2);
                  send(c.parent, 2);
                  check(c.parent.writable() == 0, "nobody consumes any more");
                });
  }));
  EXPECT_TRUE(holds_if_killed(sleeper_is_killed, [] {
    both_sides c;
    in_parallel([&] { c.parent_waits({.bytes = 1}); },
                [&] {
                  send(c.worker, 2);
                  send(c.worker, 2);
                });
  }));
}

// Red when arm() forgets that it has just seen the channel poisoned: the parent would sleep on it.
TEST(channel_model, nobody_sleeps_on_a_poisoned_channel) {
  EXPECT_TRUE(holds([] {
    both_sides c;
    in_parallel(
        [&] {
          c.workers.tail.store(both_sides::capacity + 1);
          model_event{&c.eventfd}.ring();
        },
        [&] { check(!c.parent_waits({.bytes = 1}), "what cannot be is never granted"); });
    check(c.parent.poisoned(), "the parent knows why");
    check(c.parent.arm({.room = 1}) == arming::poisoned, "it stays so");
  }));
}

}  // namespace
}  // namespace cadre_model
