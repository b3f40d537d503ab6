// SPDX-License-Identifier: MIT
// one_worker: a worker process of a test, with a pipe from it and its death.
//
//     one_worker w{&entry};
//     EXPECT_EQ(w.death().exit_code, 3);
//     EXPECT_EQ(w.said(), "hello");
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "process/worker_starter.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {

/// Starts a worker and waits until it is about to run its entry. Throws failed_start. Not on the reaper.
inline process::start_report start_and_wait(process::worker_starter& starter,
                                            const process::worker_spec& spec,
                                            process::worker_entry* entry,
                                            std::span<const std::byte> argument,
                                            std::span<const int> fds,
                                            process::death_callback on_death) {
  std::promise<process::start_report> over;
  starter.start({spec, entry, argument, fds,
                 [&](const process::start_report& how) { over.set_value(how); },
                 std::move(on_death)});
  process::start_report how = over.get_future().get();
  if (how.failure) throw process::failed_start{*how.failure};
  return how;
}

class one_worker {
 public:
  explicit one_worker(process::worker_entry* entry, const process::worker_spec& spec = {},
                      std::span<const std::byte> argument = {})
      : starter_{process::worker_starter::acquire()} {
    try {
      start(entry, spec, argument);
    } catch (const process::failed_start& e) {
      if (!e.passing) throw;
      start(entry, spec, argument);  // as a pool does: somebody may have killed the zygote
    }
  }

  std::uint64_t id() const { return started_->id; }
  pid_t pid() const { return started_->pid; }
  void kill(int signal) const { starter_->kill(started_->id, signal); }

  /// Waits for it.
  process::death_report death() const {
    if (death_.wait_for(long_time) != std::future_status::ready) {
      throw std::runtime_error{"the worker does not die"};
    }
    return death_.get();
  }

  /// All that it wrote on its descriptor, until it closed it.
  std::string said() const {
    std::string all;
    std::array<char, 512> buffer;
    ssize_t size = 0;
    while ((size = ::read(said_.get(), buffer.data(), buffer.size())) > 0) {
      all.append(buffer.data(), static_cast<std::size_t>(size));
    }
    return all;
  }

 private:
  void start(process::worker_entry* entry, const process::worker_spec& spec,
             std::span<const std::byte> argument) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      throw std::system_error{errno, std::system_category()};
    said_ = ipc::descriptor{ends[0]};
    const ipc::descriptor says{ends[1]};
    const std::array<int, 1> fds{says.get()};
    auto promise = std::make_shared<std::promise<process::death_report>>();
    death_ = promise->get_future().share();
    started_.emplace(start_and_wait(
        *starter_, spec, entry, argument, fds,
        [promise](const process::death_report& report) { promise->set_value(report); }));
  }

  std::shared_ptr<process::worker_starter> starter_;
  ipc::descriptor said_;
  std::shared_future<process::death_report> death_;
  std::optional<process::start_report> started_;
};

/// Of an entry: writes on the test's descriptor.
inline void say(std::span<const int> fds, std::string_view text) {
  static_cast<void>(!::write(fds[0], text.data(), text.size()));
}

/// Of an entry: never returns.
[[noreturn]] inline void sleep_for_ever() {
  for (;;) ::pause();
}

/// The message with which the start is refused; empty if it is not.
inline std::string refusal(process::worker_entry* entry, const process::worker_spec& spec) {
  try {
    one_worker{entry, spec};
    return {};
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace cadre::test
