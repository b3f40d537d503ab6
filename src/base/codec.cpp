// SPDX-License-Identifier: MIT
#include <cadre/codec.hpp>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>

#include "base/large_parts.hpp"

namespace cadre {
namespace {

// Smaller: more reallocations for a usual call. Larger: memory that most calls do not need.
constexpr std::size_t first_capacity = 256;

std::string beginning(const char* verb, std::string_view subject) {
  return std::string{"cadre: "} + verb + ' ' + (subject.empty() ? "bytes" : std::string{subject}) +
         ": ";
}

std::string depth_problem() {
  return "values nest in one another more than " + std::to_string(max_codec_depth) + " deep";
}

}  // namespace

encoder::encoder(encoder&& other) noexcept : limit_{other.limit_} { *this = std::move(other); }

encoder& encoder::operator=(encoder&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  std::swap(limit_, other.limit_);
  std::swap(parts_, other.parts_);
  return *this;
}

encoder::~encoder() { std::free(data_); }

void encoder::truncate(std::size_t size) noexcept {
  size_ = size;
  if (parts_ != nullptr) parts_->truncate(size);
}

void encoder::grow(std::size_t more) {
  if (more > limit_ || size_ > limit_ - more) {
    fail("it takes more than the limit of " + std::to_string(limit_) + " bytes",
         "send less at a time, or raise the limit");
  }
  const std::size_t capacity =
      std::min(limit_, std::max({first_capacity, capacity_ * 2, size_ + more}));
  // realloc neither zeroes nor, for large blocks, copies.
  void* data = std::realloc(data_, capacity);
  if (data == nullptr) throw std::bad_alloc{};
  data_ = static_cast<std::byte*>(data);
  capacity_ = capacity;
}

void encoder::fail(std::string_view problem, std::string_view remedy) const {
  throw codec_error{beginning("cannot encode", subject_).append(problem) + "; " +
                    std::string{remedy}};
}

void encoder::too_deep() const {
  fail(depth_problem(), "send a flatter structure, such as a vector with indices for links");
}

void decoder::finish() const {
  const std::size_t left = remaining() + (parts_ != nullptr ? parts_->left() : 0);
  if (left != 0) fail(std::to_string(left) + " bytes are left over");
}

void decoder::fail(std::string_view problem) const {
  throw codec_error{beginning("cannot decode", subject_).append(problem) + ", at byte " +
                    std::to_string(next_ - begin_) + " of " + std::to_string(end_ - begin_) +
                    "; the bytes are damaged, or were encoded as another type"};
}

void decoder::too_short(std::size_t size) const {
  fail(std::to_string(size) + " bytes are needed and " + std::to_string(remaining()) + " are left");
}

void decoder::too_many(std::uint64_t count) const {
  fail("a count of " + std::to_string(count) + " is more than the bytes that are left can hold");
}

void decoder::too_deep() const { fail(depth_problem()); }

}  // namespace cadre
