// SPDX-License-Identifier: MIT
#include "process/shared_memory.hpp"

#include <cadre/detail/atomic.hpp>
#include <cadre/shared_span.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/large_parts.hpp"

namespace cadre::detail {
namespace {

using access = ipc::region::access;

std::uint64_t next_number() noexcept {
  static constinit sync::atomic<std::uint64_t> last{0};
  // relaxed: a number that is used once.
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

access access_of(bool everyone_writes) { return everyone_writes ? access::both : access::mine; }

}  // namespace

shared_memory::shared_memory(ipc::created_region made, bool everyone_writes,
                             std::uint64_t parents_number)
    : region_{std::move(made.memory)},
      handle_{std::move(made.handle)},
      everyone_writes_{everyone_writes},
      number_{next_number()},
      parents_number_{parents_number} {}

shared_memory::~shared_memory() {
  for (const auto& each : told_) {
    if (const auto event = each.lock()) event->ring();
  }
}

std::shared_ptr<shared_memory> shared_memory::create(std::size_t size, bool everyone_writes) {
  return std::shared_ptr<shared_memory>{
      new shared_memory{ipc::region::create(size, access_of(everyone_writes)), everyone_writes, 0}};
}

std::shared_ptr<shared_memory> shared_memory::open(process::received_memory from) {
  const bool everyone = from.what.everyone_writes != 0;
  auto memory =
      ipc::region::open(from.handle, static_cast<std::size_t>(from.what.size), access_of(everyone));
  return std::shared_ptr<shared_memory>{
      new shared_memory{{std::move(memory), std::move(from.handle)}, everyone, from.what.number}};
}

ipc::packet_socket::outcome shared_memory::send(ipc::packet_socket& to, std::uint64_t number,
                                                ipc::packet_socket::mode how) const {
  const process::packet_head what{number, bytes().size(), everyone_writes_ ? 1U : 0U};
  return to.send(std::as_bytes(std::span{&what, 1}), std::array{handle_.get()}, how);
}

void shared_memory::tell_when_gone(const std::shared_ptr<ipc::event>& event) const {
  const std::lock_guard lock{mutex_};
  std::erase_if(told_, [](const auto& each) { return each.expired(); });
  const bool known = std::any_of(told_.begin(), told_.end(), [&](const auto& each) {
    return !each.owner_before(event) && !event.owner_before(each);
  });
  if (!known) told_.push_back(event);
}

// --- what the templates need ---

shared_bytes create_shared(std::size_t count, std::size_t element, shared_access who) {
  if (count > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / element) {
    throw std::bad_array_new_length{};
  }
  if (count == 0) return {};
  auto memory = shared_memory::create(count * element, who == shared_access::everyone);
  const auto bytes = memory->bytes();
  return {std::move(memory), bytes.data(), bytes.size()};
}

bool is_writable_by_all(const shared_bytes& bytes) noexcept {
  return bytes.owner == nullptr || bytes.owner->everyone_writes();
}

void throw_creator_only() {
  throw std::logic_error{
      "cadre: this shared_buffer is for its creator to write; make it with "
      "shared_access::everyone, or share() it to be read"};
}

void encode_shared(encoder& out, const shared_bytes& bytes) {
  out.write(std::uint64_t{bytes.size});
  if (bytes.size == 0) return;
  if (!apart::can_attach(out)) {
    out.fail("shared memory crosses only between a process pool and its workers",
             "encode its elements");
  }
  const auto number = apart::attach(out, bytes.owner);
  if (!number) {
    out.fail("it refers to more than " + std::to_string(process::most_memories) +
                 " different shared buffers",
             "put the data of several into one");
  }
  out.write(*number);
  out.write(static_cast<std::uint64_t>(bytes.data - bytes.owner->bytes().data()));
}

shared_bytes decode_shared(decoder& in, const shared_shape& shape) {
  const auto size = in.read<std::uint64_t>();
  if (size == 0) return {};
  const auto number = in.read<std::uint64_t>();
  const auto offset = in.read<std::uint64_t>();
  const auto memory = std::static_pointer_cast<const shared_memory>(apart::attached(in, number));
  if (memory == nullptr) in.fail("it names shared memory that was not sent along");
  const auto all = memory->bytes();
  if (offset > all.size() || size > all.size() - offset) {
    in.fail("a shared_span exceeds its memory");
  }
  if (size % shape.element != 0 || offset % shape.alignment != 0) {
    in.fail("a shared_span is of another type");
  }
  if (shape.writable && !memory->everyone_writes()) {
    in.fail("shared memory is to be written that only its creator may write");
  }
  return {memory, all.data() + offset, static_cast<std::size_t>(size)};
}

}  // namespace cadre::detail
