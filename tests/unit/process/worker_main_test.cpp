// SPDX-License-Identifier: MIT
#include "process/worker_main.hpp"

#include <cadre/codec.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <cstddef>
#include <future>

#include "process/remote_worker.hpp"
#include "process/worker_starter.hpp"
#include "support/timeouts.hpp"

namespace cadre::process {
namespace {

// It waited for them, for as long as its pool kept the socket open: this was a hang of the fuzzer.
TEST(worker_main, ends_when_memory_is_announced_that_was_not_sent) {
  remote_worker worker{0, 1, 1000};
  encoder argument;
  encode(argument, worker_argument{.max_message = 1000, .pool = "test"});
  std::promise<death_report> death;
  const auto starter = worker_starter::acquire();
  const auto started = starter->start({}, &worker_main, argument.bytes(), worker.descriptors(),
                                      [&](const death_report& report) { death.set_value(report); });
  worker.close_descriptors();
  std::array<std::byte, 16> buffer;
  worker.attach(worker.hello().receive(buffer).descriptors[0]);

  worker.send_control({.kind = frame_kind::forget, .memories = 1}, {});

  auto dies = death.get_future();
  const bool alone = dies.wait_for(test::medium_time) == std::future_status::ready;
  EXPECT_TRUE(alone);
  if (!alone) starter->kill(started.id, SIGKILL);
  EXPECT_EQ(dies.get().signal, alone ? SIGABRT : SIGKILL);
}

}  // namespace
}  // namespace cadre::process
