// SPDX-License-Identifier: MIT
#include <cadre/inline_executor.hpp>
#include <cadre/make_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <charconv>
#include <stdexcept>
#include <string>

namespace cadre {

std::unique_ptr<executor> make_executor(std::string_view description) {
  constexpr std::string_view threads = "threads";
  if (description == "inline") return std::make_unique<inline_executor>();
  if (description == threads) return std::make_unique<thread_pool_executor>();
  if (description.starts_with("threads:")) {
    const std::string_view digits = description.substr(threads.size() + 1);
    int count = 0;
    const auto [end, problem] = std::from_chars(digits.begin(), digits.end(), count);
    if (problem == std::errc{} && end == digits.end()) {
      return std::make_unique<thread_pool_executor>(count);
    }
  }
  throw std::invalid_argument{
      "make_executor: unknown executor \"" + std::string{description} +
      "\"; valid are \"threads\", \"threads:N\" with N > 0, and \"inline\""};
}

std::unique_ptr<executor> make_executor(const char* description) {
  return make_executor(description != nullptr ? std::string_view{description} : "threads");
}

}  // namespace cadre
