// SPDX-License-Identifier: MIT
#include "process/remote_worker.hpp"

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <utility>

#include "process/exception_codec.hpp"
#include "process/module_table.hpp"

namespace cadre::process {

using ipc::region;

namespace {

// An exception may take more than max_message, and there is the padding of large parts.
constexpr std::size_t most_of_answer(std::size_t max_message) {
  max_message = std::min(max_message, std::size_t{PTRDIFF_MAX});
  return max_message + max_message / (detail::least_part / detail::part_alignment) +
         detail::exception_allowance;
}

}  // namespace

remote_worker::remote_worker(unsigned i, std::uint64_t t, std::size_t max_message)
    : index{i},
      token{t},
      mine_{region::create(ipc::channel_region_size(ring_capacity), region::access::mine)},
      shared_{region::create(shared_page_size, region::access::both)},
      page_{&shared_page::make_in(shared_.memory)},
      hello_{ipc::packet_socket::pair()},
      reader_{most_of_answer(max_message), secrets_.to_parent} {}

std::array<int, 4> remote_worker::descriptors() const noexcept {
  return {mine_.handle.get(), shared_.handle.get(), bell_.fd(), hello_.second.fd()};
}

void remote_worker::close_descriptors() noexcept {
  mine_.handle.reset();
  shared_.handle.reset();
  hello_.second.close();
}

void remote_worker::attach(const ipc::descriptor& handle) {
  theirs_ = region::open(handle, ipc::channel_region_size(ring_capacity), region::access::mine);
  channel_.emplace(ipc::own_half_of(mine_.memory), ipc::peer_half_of(theirs_));
  greeted = true;
  if (now == condition::starting) now = condition::ready;  // else it is being ended
}

void remote_worker::refuse(std::span<const std::byte> words) {
  refusal.clear();
  for (const std::byte b : words) {
    const char c = static_cast<char>(b);
    refusal += c >= ' ' && c <= '~' ? c : '?';
  }
}

void remote_worker::hear_last_words() noexcept {
  if (greeted || !refusal.empty()) return;
  try {
    std::array<std::byte, 256> buffer;
    const auto packet = hello_.first.receive(buffer, ipc::packet_socket::mode::dont_wait);
    const bool words = packet.result == ipc::packet_socket::outcome::done &&
                       packet.descriptor_count == 0 && !packet.cut_off;
    if (words) refuse(std::span{buffer}.first(packet.size));
  } catch (const std::exception&) {
    // Then nobody knows why.
  }
}

bool remote_worker::knows_modules() const noexcept {
  return modules_ == module_table::instance().module_count();
}

bool remote_worker::tell_modules() {
  const module_table& table = module_table::instance();
  const std::uint32_t count = table.module_count();
  if (modules_ == count) return true;
  std::vector<module_description> all;
  for (std::uint32_t i = modules_; i != count; ++i) all.push_back(table.describe(i));
  try {
    // To one that is dying it does not matter.
    using outcome = ipc::packet_socket::outcome;
    if (send_modules(hello_.first, modules_, all) == outcome::would_block) return false;
  } catch (const std::system_error&) {
    return false;  // too many descriptors, or too much memory, are on their way in all
  }
  modules_ = count;
  ++packets_;
  return true;
}

void remote_worker::send_control(request_header header, std::span<const std::byte> body) {
  header.packets += std::exchange(packets_, 0);
  writer_.control(header, body);
  send_more();
}

std::uint64_t remote_worker::reserve_number(task* t) noexcept {
  entry(next_) = t;
  return next_++;
}

void remote_worker::initialise(request_header header, std::span<const std::byte> body) {
  initialising = true;
  header.number = reserve_number(nullptr);
  send_control(header, body);
}

bool remote_worker::has_room(std::size_t size) noexcept {
  return knows_modules() && channel_->has_room(size);
}

bool remote_worker::send_packets(const std::vector<detail::memory_ptr>& memories,
                                 const std::shared_ptr<ipc::event>& gone) {
  const bool all = tell_modules() &&
                   std::all_of(memories.begin(), memories.end(),
                               [&](const detail::memory_ptr& each) { return share(each, gone); });
  // The worker makes room in the socket only by what it is told of.
  if (!all && packets_ != 0) send_control({.kind = frame_kind::receive}, {});
  return all;
}

/// False if there is no room now.
bool remote_worker::share(const detail::memory_ptr& memory,
                          const std::shared_ptr<ipc::event>& gone) {
  using outcome = ipc::packet_socket::outcome;
  if (memories_.contains(memory->number())) return true;
  memory->tell_when_gone(gone);
  outcome sent = outcome::would_block;
  try {
    sent = memory->send(hello_.first, memory->number(), ipc::packet_socket::mode::dont_wait);
  } catch (const std::system_error&) {
    // Too many descriptors are on their way in all; some will arrive.
  }
  if (sent == outcome::would_block) return false;
  memories_.emplace(memory->number(), memory);
  ++packets_;
  return true;
}

void remote_worker::forget_memories() {
  for (auto m = memories_.begin(); m != memories_.end();) {
    if (m->second.expired()) {
      // It may have been sent in vain, for a call that went elsewhere.
      send_control({.kind = frame_kind::forget, .number = m->first}, {});
      m = memories_.erase(m);
    } else {
      ++m;
    }
  }
}

void remote_worker::send(task& t) {
  t.worker = this;
  t.number = reserve_number(&t);
  // What another worker was to be told of it does not count here.
  t.deadline = detail::never;
  t.begin_limit = detail::never;
  t.stopping = stop_reason::none;
  t.stop_steps = 0;
  t.past = false;
  request_header& header = t.header();
  header.number = t.number;
  header.packets = std::exchange(packets_, 0);
  page_->claims.post(t.number % ipc::claim_table::slot_count, t.number);
  writer_.begin(t);
  send_more();
}

bool remote_worker::send_more() {
  return channel_ && fault == nullptr && writer_.send_more(*channel_);
}

bool remote_worker::has_begun(const task& t) const noexcept {
  return page_->claims.is_taken(t.number % ipc::claim_table::slot_count, t.number);
}

bool remote_worker::is_past(const task& t) const noexcept {
  for (std::uint64_t n = t.number + 1; n < next_; ++n) {
    const task* const behind = entries_[n % entries_.size()];
    if (behind != nullptr && has_begun(*behind)) return true;
  }
  return false;
}

bool remote_worker::revoke(task& t) noexcept {
  if (&t == writer_.sending() ||
      !page_->claims.revoke(t.number % ipc::claim_table::slot_count, t.number)) {
    return false;
  }
  entry(t.number) = nullptr;
  t.worker = nullptr;
  return true;
}

bool remote_worker::forbid(const task& t) noexcept {
  return page_->claims.revoke(t.number % ipc::claim_table::slot_count, t.number);
}

bool remote_worker::claims_are_damaged() noexcept {
  for (std::uint64_t n = first_; n != next_; ++n) {
    const task* const t = entry(n);
    if (t != nullptr && !page_->claims.is_sound(n % ipc::claim_table::slot_count, n)) return true;
  }
  // In this order: it takes a call when the answers before it are in the channel.
  const task* const first = head();
  return first != nullptr && is_past(*first) && !readable();
}

bool remote_worker::has_spare() const noexcept {
  for (std::uint64_t n = next_; n-- > first_ + 1;) {
    if (entries_[n % entries_.size()] != nullptr) return true;
  }
  return false;
}

task* remote_worker::revoke_last_behind(std::uint64_t number) noexcept {
  for (std::uint64_t n = next_; n-- > number + 1;) {
    task* t = entry(n);
    if (t == nullptr) continue;
    return revoke(*t) ? t : nullptr;
  }
  return nullptr;
}

task* remote_worker::head() noexcept {
  for (std::uint64_t n = first_; n != next_; ++n) {
    if (entry(n) != nullptr) return entry(n);
  }
  return nullptr;
}

bool remote_worker::take_next(const answer_header& a, task*& t) noexcept {
  if (first_ == next_ || a.number != first_) return false;
  const bool asked = initialising || entry(first_) != nullptr;
  if (entry(first_) != nullptr && entry(first_) == writer_.sending())
    return false;  // it has not seen it all
  const bool told = a.kind == frame_kind::value || a.kind == frame_kind::error;
  if (asked ? !told : a.kind != frame_kind::skipped) return false;
  t = std::exchange(entry(first_), nullptr);
  ++first_;
  return true;
}

void remote_worker::place_answer() noexcept {
  if (!reader_.asks_where()) return;
  // A worker may answer what nobody asked.
  const bool in_turn = first_ != next_ && reader_.number() == first_;
  const task* const t = in_turn ? entry(first_) : nullptr;
  reader_.put_it(t != nullptr ? t->call().portable()->land : nullptr);
}

std::vector<task*> remote_worker::take_all() {
  std::vector<task*> all;
  for (; first_ != next_; ++first_) {
    if (task* t = std::exchange(entry(first_), nullptr)) all.push_back(t);
  }
  writer_.forget_all();
  return all;
}

bool remote_worker::arm(bool late) noexcept {
  if (!channel_ || fault != nullptr) return true;
  // A quarter of the ring at a time: not a wake-up for each few bytes.
  const ipc::wish wish{.bytes = 1, .room = is_sending() ? ring_capacity / 4 : 0, .late = late};
  armed_late = late;
  armed = channel_->arm(wish) == ipc::arming::armed;
  return armed;
}

void remote_worker::disarm() noexcept {
  if (std::exchange(armed, false)) channel_->disarm();
}

}  // namespace cadre::process
