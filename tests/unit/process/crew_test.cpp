// SPDX-License-Identifier: MIT
#include "process/crew.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <memory>

namespace cadre::process {
namespace {

constexpr std::chrono::nanoseconds no_patience{0};
constexpr std::chrono::hours patience{1};

/// A crew that works on one job, which ends when it is let go.
class busy_crew {
 public:
  busy_crew() {
    threads.run(owner, [this] {
      begun.count_down();
      go_on.wait();
    });
    begun.wait();
  }
  ~busy_crew() {
    idle.wait();
    threads.end();
    threads.join();
  }
  busy_crew(const busy_crew&) = delete;
  busy_crew& operator=(const busy_crew&) = delete;

  const crew::keeper owner = std::make_shared<int>();
  std::latch begun{1};
  std::latch go_on{1};
  std::latch idle{1};
  crew threads{[this] { idle.count_down(); }};
};

TEST(crew, falls_behind_if_no_job_ends_while_others_wait) {
  busy_crew c;
  EXPECT_FALSE(c.threads.falls_behind(no_patience)) << "none waits";

  std::latch second{1};
  EXPECT_FALSE(c.threads.run(c.owner, [&] { second.count_down(); })) << "it waits";

  EXPECT_TRUE(c.threads.has_waiting());
  EXPECT_FALSE(c.threads.falls_behind(patience));
  EXPECT_TRUE(c.threads.falls_behind(no_patience));
  c.threads.grow(c.owner);
  second.wait();  // beside the first
  c.go_on.count_down();
}

// A machine where the crew gets its turn late has more jobs that wait, and no use for more threads.
TEST(crew, does_not_fall_behind_as_long_as_jobs_end) {
  busy_crew c;
  std::latch second_begun{1};
  std::latch second_ends{1};
  c.threads.run(c.owner, [&] {
    second_begun.count_down();
    second_ends.wait();
  });
  c.threads.run(c.owner, [] {});
  const auto waits = std::chrono::steady_clock::now();

  c.go_on.count_down();
  second_begun.wait();

  EXPECT_TRUE(c.threads.has_waiting());
  const auto waited = std::chrono::steady_clock::now() - waits;
  EXPECT_FALSE(c.threads.falls_behind(waited)) << "one has ended since";
  EXPECT_TRUE(c.threads.falls_behind(no_patience));
  second_ends.count_down();
}

}  // namespace
}  // namespace cadre::process
