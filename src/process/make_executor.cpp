// SPDX-License-Identifier: MIT
#include <cadre/inline_executor.hpp>
#include <cadre/make_executor.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <charconv>
#include <optional>
#include <stdexcept>
#include <string>

namespace cadre {

namespace {

/// The N of "<kind>:N"; none if `description` is something else.
std::optional<int> count_of(std::string_view description, std::string_view kind) {
  if (!description.starts_with(kind)) return std::nullopt;
  const std::string_view rest = description.substr(kind.size());
  if (!rest.starts_with(':')) return std::nullopt;
  int count = 0;
  const auto [end, problem] = std::from_chars(rest.begin() + 1, rest.end(), count);
  if (problem != std::errc{} || end != rest.end()) return std::nullopt;
  return count;
}

}  // namespace

std::unique_ptr<executor> make_executor(std::string_view description) {
  if (description == "inline") return std::make_unique<inline_executor>();
  if (description == "threads") return std::make_unique<thread_pool_executor>();
  if (description == "processes") return std::make_unique<process_pool_executor>();
  if (const auto n = count_of(description, "threads")) {
    return std::make_unique<thread_pool_executor>(*n);
  }
  if (const auto n = count_of(description, "processes")) {
    return std::make_unique<process_pool_executor>(*n);
  }
  throw std::invalid_argument{
      "make_executor: unknown executor \"" + std::string{description} +
      "\"; valid are \"threads\", \"threads:N\", \"processes\", \"processes:N\" with N > 0, and "
      "\"inline\""};
}

std::unique_ptr<executor> make_executor(const char* description) {
  return make_executor(description != nullptr ? std::string_view{description} : "threads");
}

}  // namespace cadre
