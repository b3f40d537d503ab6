// SPDX-License-Identifier: MIT
// A bridge: the calls of another scheduler, here an event loop, as cadre's futures.
#include <cadre/cadre.hpp>

#include <deque>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

/// What you have: something that takes callbacks and runs them when it likes.
class event_loop {
 public:
  void defer(std::function<void()> task) { tasks_.push_back(std::move(task)); }
  void run() {
    for (; !tasks_.empty(); tasks_.pop_front()) tasks_.front()();
  }

 private:
  std::deque<std::function<void()>> tasks_;
};

// [bridge]
template <typename Function>
auto submit(event_loop& loop, Function function) {
  using result = std::invoke_result_t<Function>;
  // A std::function must be copyable, and a promise is not.
  auto promise = std::make_shared<cadre::promise<result>>();
  cadre::future<result> f = promise->get_future();
  loop.defer([promise, function = std::move(function)]() mutable {
    if (!promise->set_running()) return;  // cancelled: its future is done already
    try {
      promise->set_value(function());
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
  });
  return f;
}
// [/bridge]

int main() {
  event_loop loop;
  auto good = submit(loop, [] { return 42; });
  auto bad = submit(loop, []() -> int { throw std::runtime_error{"refused"}; });
  auto unwanted = submit(loop, [] { return 1; });
  unwanted.cancel();
  loop.run();

  // Everything that takes a future takes these.
  int done = 0;
  for (auto& f : cadre::as_completed(std::vector{good, bad, unwanted})) done += f.done();
  std::cout << good.get() << '\n';
  return done == 3 && bad.exception() != nullptr && unwanted.cancelled() ? 0 : 1;
}
