// SPDX-License-Identifier: MIT
// Futures made of futures: then, when_all, when_any, and callbacks.
#include <cadre/cadre.hpp>

#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>

int main() {
  cadre::thread_pool_executor pool{2};

  // [then]
  cadre::future<std::string> text = pool.submit([] { return std::string{"7"}; })
                                        .then([](const std::string& s) { return std::stoi(s); })
                                        .then(pool, [](int n) { return std::to_string(n * 6); });
  // An exception passes the steps that take the value; a step that takes the future meets it.
  cadre::future<int> rescued =
      pool.submit([]() -> int { throw std::runtime_error{"no answer"}; })
          .then([](int n) { return n + 1; })
          .then([](cadre::future<int> f) { return f.exception() ? -1 : f.get(); });
  // [/then]
  std::cout << text.get() << ' ' << rescued.get() << '\n';

  // [when-all]
  cadre::future<double> mean =
      cadre::when_all(pool.submit([] { return 10; }), pool.submit([] {
        return 4.0;
      })).then([](const std::tuple<cadre::future<int>, cadre::future<double>>& both) {
        const auto& [sum, count] = both;
        return sum.get() / count.get();
      });
  // [/when-all]

  cadre::promise<int> slow;
  // [when-any]
  auto first = cadre::when_any(slow.get_future(), pool.submit([] { return 2; })).get();
  std::cout << "number " << first.index << " was first\n";
  // [/when-any]
  slow.set_value(1);

  // [chains]
  // A step that returns a future gives one of its result. Known results need no call.
  const auto load = [&](int key) {
    return key == 0 ? cadre::ready_future(1) : pool.submit([key] { return key * 2; });
  };
  cadre::future<int> area =
      cadre::when_all(load(0).then(load), load(21))
          .then(cadre::unpack([](int width, int height) { return width * height; }))
          .then_error<std::bad_alloc>([](const std::bad_alloc&) { return 0; })
          .finally([] { std::cout << "done\n"; });
  // [/chains]

  // [callback]
  mean.add_done_callback([](cadre::future<double> f) { std::cout << f.get() << '\n'; });
  // [/callback]
  return text.get() == "42" && rescued.get() == -1 && mean.get() == 2.5 && first.index == 1 &&
                 area.get() == 84
             ? 0
             : 1;
}
