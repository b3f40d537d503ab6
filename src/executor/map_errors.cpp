// SPDX-License-Identifier: MIT
// What map and for_each say when they cannot go on.
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>

#include <stdexcept>
#include <string>

namespace cadre::detail {

void throw_negative_count(long long count) {
  throw std::invalid_argument{"for_each: the count must not be negative, got " +
                              std::to_string(count)};
}

void throw_bad_buffer_size() {
  throw std::invalid_argument{"map: buffer_size must be greater than 0, got 0"};
}

void throw_bad_caller_runs() {
  throw std::invalid_argument{
      "map: caller_runs was given with buffer_size, or to an executor of other processes; the loop "
      "can run elements only where all of them lie ready in this process"};
}

void throw_wrong_batch(const char* who, std::size_t answered, std::size_t sent) {
  throw codec_error{std::string{who} + ": a worker answered for " + std::to_string(answered) +
                    " elements, and was sent " + std::to_string(sent) +
                    "; its memory is damaged: look for what its calls overwrite"};
}

void throw_map_timeout(const char* who, std::size_t unread) {
  throw timeout_error{std::string{who} + ": " + std::to_string(unread) +
                      " elements were not ready when the time was over; those that had not begun "
                      "are cancelled"};
}

}  // namespace cadre::detail
