// SPDX-License-Identifier: MIT
// What only processes can do: end a call that takes too long, and run one again that crashed.
#include <cadre/cadre.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

[[noreturn]] void hang() {
  for (;;) ::pause();
}

// [flaky]
/// Crashes unless it did so before, of which the file tells.
int flaky(const std::filesystem::path& trace) {
  if (std::filesystem::exists(trace)) return 42;
  std::ofstream{trace} << "was here";
  std::abort();
}
// [/flaky]

int main() {
  using namespace std::chrono_literals;
  cadre::process_pool_executor pool{1};

  bool stopped = false;
  // [timeout]
  auto endless = pool.submit({.name = "endless", .timeout = 50ms, .grace = 10ms}, &hang);
  try {
    endless.get();
  } catch (const cadre::timeout_error& e) {  // it does not run any more
    std::cout << e.what() << '\n';
    stopped = true;
  }
  // [/timeout]

  const auto trace =
      std::filesystem::temp_directory_path() / ("flaky." + std::to_string(::getpid()));
  // [retries]
  auto second = pool.submit({.retries = 1}, &flaky, trace);
  std::cout << second.get() << '\n';  // 42: it died once, and was run again
  // [/retries]
  std::filesystem::remove(trace);
  return stopped && second.get() == 42 ? 0 : 1;
}
