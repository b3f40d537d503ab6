// SPDX-License-Identifier: MIT
#include <cadre/codec.hpp>

#include <sys/auxv.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "base/large_parts.hpp"
#include "base/stack.hpp"

namespace cadre {
namespace {

// Smaller: more reallocations for a usual call. Larger: memory that most calls do not need.
constexpr std::size_t first_capacity = 256;

std::string beginning(const char* verb, std::string_view subject) {
  return std::string{"cadre: "} + verb + ' ' + (subject.empty() ? "bytes" : std::string{subject}) +
         ": ";
}

/// What a sender of bytes cannot have foreseen: of the kernel's random bytes for this program, of the
/// time, and never the same twice in a thread.
std::uint64_t unforeseen_number() noexcept {
  static constinit thread_local std::uint64_t count = 0;
  std::uint64_t random = 0;
  if (const auto at = ::getauxval(AT_RANDOM); at != 0) {
    std::memcpy(&random, reinterpret_cast<const void*>(at), sizeof random);
  }
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  random += static_cast<std::uint64_t>(now) + 0x9e37'79b9'7f4a'7c15 * ++count;
  // Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (2014).
  random = (random ^ (random >> 30)) * 0xbf58'476d'1ce4'e5b9;
  random = (random ^ (random >> 27)) * 0x94d0'49bb'1331'11eb;
  return random ^ (random >> 31);
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

void decoder::check_stack() {
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (stack_end_ == unknown) stack_end_ = detail::end_of_stack(frame);
  if (frame >= stack_end_) return;
  throw codec_error{
      beginning("cannot decode", subject_) + "at " + std::to_string(depth_) +
      " values nested in one another the stack of this thread is almost used up; send "
      "a flatter structure, such as a vector with indices for links, or decode it on "
      "a thread with a larger stack"};
}

std::size_t detail::bucket_watch::draw(decoder& in) noexcept {
  if (in.random_ == 0) in.random_ = unforeseen_number() | 1;
  // Source: G. Marsaglia, "Xorshift RNGs" (2003).
  in.random_ ^= in.random_ << 13;
  in.random_ ^= in.random_ >> 7;
  in.random_ ^= in.random_ << 17;
  // More: keys that collide are found later. Fewer: each insertion costs more.
  constexpr unsigned period = 16;
  in.until_look_ = 1 + static_cast<unsigned>((in.random_ >> 32) % (2 * period - 1));
  return period;
}

void detail::bucket_watch::check(const decoder& in) {
  // An even hash takes one or two steps an element, a bad one some dozens.
  constexpr std::uint64_t steps_per_byte = 8;
  const auto bytes = static_cast<std::uint64_t>(in.next_ - in.begin_);
  if (in.steps_ <= free_steps + steps_per_byte * bytes) return;
  throw codec_error{beginning("cannot decode", in.subject_) +
                    "too many of its keys collide: some " + std::to_string(in.steps_) +
                    " steps through the buckets of hash tables for " + std::to_string(bytes) +
                    " bytes, which would take this process for as long as the sender likes; send a "
                    "std::map, a std::set or a vector instead, or give the type a better hash"};
}

}  // namespace cadre
