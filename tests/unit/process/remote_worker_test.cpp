// SPDX-License-Identifier: MIT
// What a pool takes for the answer to what it has sent.
#include "process/remote_worker.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

namespace cadre::test {
namespace {

using process::answer_header;
using process::frame_kind;
using process::remote_worker;
using process::task;

bool takes(remote_worker& from, std::uint64_t number, frame_kind kind) {
  task* t = nullptr;
  return from.take_next(answer_header{.kind = kind, .number = number}, t);
}

}  // namespace

TEST(remote_worker, takes_only_an_answer_to_what_was_asked) {
  remote_worker w{0, 1, std::size_t{1} << 20};
  w.initialise({}, {});

  for (const auto kind : {frame_kind::skipped, frame_kind::call, frame_kind::end}) {
    EXPECT_FALSE(takes(w, 1, kind));
  }
  EXPECT_FALSE(takes(w, 2, frame_kind::value));
  EXPECT_EQ(w.in_flight(), 1U) << "it took what it refused";
  EXPECT_TRUE(takes(w, 1, frame_kind::error));
  EXPECT_FALSE(takes(w, 2, frame_kind::value)) << "nothing was asked";
}

TEST(remote_worker, takes_only_a_skip_for_what_was_taken_back) {
  remote_worker w{0, 1, std::size_t{1} << 20};
  w.initialise({}, {});
  w.initialising = false;  // nobody waits for number 1

  for (const auto kind : {frame_kind::value, frame_kind::error}) EXPECT_FALSE(takes(w, 1, kind));
  EXPECT_EQ(w.in_flight(), 1U) << "it took what it refused";
  EXPECT_TRUE(takes(w, 1, frame_kind::skipped));
}

}  // namespace cadre::test
