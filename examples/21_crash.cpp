// SPDX-License-Identifier: MIT
// A call that crashes costs that one call.
#include <cadre/cadre.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

std::size_t parse(const std::string& text) {
  if (text == "malformed") std::abort();  // any crash will do
  return text.size();
}

int main() {
  int signal = 0;
  // [crash]
  cadre::process_pool_executor pool{2};
  auto good = pool.submit(&parse, std::string{"well-formed"});
  auto bad = pool.submit({.name = "parse page 7"}, &parse, std::string{"malformed"});
  try {
    std::cout << bad.get() << '\n';
  } catch (const cadre::worker_died& e) {
    std::cout << e.what() << '\n';  // which call, which process, which signal
    signal = e.signal();
  }
  auto next = pool.submit(&parse, std::string{"another"});  // the worker was replaced
  std::cout << good.get() << ' ' << next.get() << '\n';
  // [/crash]
  return signal == SIGABRT && good.get() == 11 && next.get() == 7 ? 0 : 1;
}
