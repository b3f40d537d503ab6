// SPDX-License-Identifier: MIT
// A future in each state, as CPython's tests have them ready made.
#pragma once

#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/promise.hpp>

#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

namespace cadre::test {

using futures = std::vector<future<int>>;

struct disk_full : std::runtime_error {
  disk_full() : runtime_error{"no space left"} {}
};

template <typename T>
future<T> finished_with(T value) {
  promise<T> writer;
  writer.set_value(std::move(value));
  return writer.get_future();
}

/// Of one that failed somebody asked already, so that nothing is reported as unhandled.
template <typename Exception>
future<int> failed_with(Exception reason) {
  promise<int> writer;
  writer.set_exception(std::make_exception_ptr(std::move(reason)));
  future<int> f = writer.get_future();
  static_cast<void>(f.exception());
  return f;
}

inline future<int> cancelled_future() {
  const promise<int> writer;
  future<int> f = writer.get_future();
  f.cancel();
  return f;
}

class example_futures {
 public:
  example_futures() { runner_.set_running(); }
  ~example_futures() {
    if (!pending.done()) writer_.set_value(0);
    runner_.set_value(0);
  }
  example_futures(const example_futures&) = delete;
  example_futures& operator=(const example_futures&) = delete;

 private:
  promise<int> writer_;
  promise<int> runner_;

 public:
  future<int> pending = writer_.get_future();
  future<int> running = runner_.get_future();
  future<int> cancelled = cancelled_future();
  future<int> failed = failed_with(disk_full{});
  future<int> finished = finished_with(42);
};

}  // namespace cadre::test
