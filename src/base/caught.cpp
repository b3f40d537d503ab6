// SPDX-License-Identifier: MIT
#include <cadre/detail/caught.hpp>

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace cadre {

std::exception_ptr detail::caught(std::string_view call) noexcept {
  // Null for what is no exception of C++.
  if (std::exception_ptr thrown = std::current_exception()) return thrown;
  std::string sentence{"cadre: "};
  sentence += call.empty() ? "a call" : "\"" + std::string{call} + '"';
  sentence +=
      " ended its thread, by pthread_exit() or pthread_cancel(); the thread is its executor's, and "
      "this process ends: let it return or throw\n";
  static_cast<void>(!::write(STDERR_FILENO, sentence.data(), sentence.size()));
  std::abort();
}

}  // namespace cadre
