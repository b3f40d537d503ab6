// SPDX-License-Identifier: MIT
#include "process/remote_worker.hpp"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "process/module_table.hpp"

namespace cadre::process {

using ipc::region;

namespace {

// max_message is about values; what a call throws may take so much more.
constexpr std::size_t exception_allowance = std::size_t{1} << 20;

// And the padding of large parts.
constexpr std::size_t most_of_answer(std::size_t max_message) {
  return max_message + max_message / (detail::least_part / detail::part_alignment) +
         exception_allowance;
}

}  // namespace

remote_worker::remote_worker(unsigned i, std::uint64_t t, std::size_t max_message)
    : index{i},
      token{t},
      mine_{region::create(ipc::channel_region_size(ring_capacity), region::access::mine)},
      shared_{region::create(shared_page_size, region::access::both)},
      page_{&shared_page::make_in(shared_.memory)},
      hello_{ipc::packet_socket::pair()},
      reader_{most_of_answer(max_message)} {}

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
  now = condition::ready;
}

void remote_worker::learn_modules() {
  auto& table = module_table::instance();
  for (const std::uint32_t count = table.module_count(); modules_ < count; ++modules_) {
    const module_description what = table.describe(modules_);
    encoder body;
    encode(body, what.path);
    encode(body, what.identity);
    send_control({.kind = frame_kind::learn_module, .slot = modules_}, body.bytes());
  }
}

void remote_worker::send_control(request_header header, std::span<const std::byte> body) {
  if (header.kind != frame_kind::learn_module) learn_modules();
  header.size = body.size();
  const auto* head = reinterpret_cast<const std::byte*>(&header);
  control_.insert(control_.end(), head, head + sizeof header);
  control_.insert(control_.end(), body.begin(), body.end());
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
  return modules_ == module_table::instance().module_count() && channel_->has_room(size);
}

bool remote_worker::share_memories(const std::vector<detail::memory_ptr>& memories,
                                   const std::shared_ptr<ipc::event>& gone) {
  using outcome = ipc::packet_socket::outcome;
  for (const detail::memory_ptr& memory : memories) {
    if (memories_.contains(memory->number())) continue;
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
  }
  return true;
}

void remote_worker::forget_memories() {
  for (auto m = memories_.begin(); m != memories_.end();) {
    if (m->second.expired()) {
      // It may have been sent in vain, for a call that went elsewhere.
      send_control(
          {.kind = frame_kind::forget, .number = m->first, .memories = std::exchange(packets_, 0)},
          {});
      m = memories_.erase(m);
    } else {
      ++m;
    }
  }
}

void remote_worker::send(task& t) {
  learn_modules();
  t.worker = this;
  t.number = reserve_number(&t);
  // What another worker was to be told of it does not count here.
  t.deadline = detail::never;
  t.stopping = stop_reason::none;
  t.stop_steps = 0;
  request_header& header = t.header();
  header.number = t.number;
  header.memories = std::exchange(packets_, 0);
  header.slot = static_cast<std::uint32_t>(t.number % ipc::claim_table::slot_count);
  page_->claims.post(header.slot, t.number);
  sending_ = &t;
  piece_ = 0;
  sent_ = 0;
  send_more();
}

bool remote_worker::send_more() {
  if (!channel_ || fault != nullptr) return false;
  // Nothing may come between the parts of a frame.
  bool any = is_within_task() && send_task();
  if (!is_within_task() && !control_.empty()) {
    const std::size_t wrote = channel_->write_some(std::span{control_}.subspan(control_sent_));
    any = any || wrote != 0;
    control_sent_ += wrote;
    if (control_sent_ == control_.size()) {
      control_.clear();
      control_sent_ = 0;
    }
  }
  if (control_.empty() && sending_ != nullptr && !is_within_task()) any = send_task() || any;
  channel_->publish();
  return any;
}

/// Sends as much of sending_ as there is room for. False if there was none.
bool remote_worker::send_task() {
  bool any = false;
  while (piece_ != sending_->pieces()) {
    const auto rest = sending_->piece(piece_).subspan(sent_);
    const std::size_t wrote =
        channel_->write_some(rest.first(std::min(rest.size(), publish_every)));
    if (wrote == 0 && !rest.empty()) return any;
    channel_->publish();
    any = true;
    sent_ += wrote;
    if (wrote == rest.size()) {
      ++piece_;
      sent_ = 0;
    }
  }
  sending_ = nullptr;
  return any;
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
  if (&t == sending_ || !page_->claims.revoke(t.number % ipc::claim_table::slot_count, t.number)) {
    return false;
  }
  entry(t.number) = nullptr;
  t.worker = nullptr;
  return true;
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
  t = std::exchange(entry(first_), nullptr);
  if (t == sending_ && t != nullptr) return false;  // it has not seen all of it
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
  sending_ = nullptr;
  control_.clear();
  return all;
}

bool remote_worker::arm() noexcept {
  if (!channel_ || fault != nullptr) return true;
  // A quarter of the ring at a time: not a wake-up for each few bytes.
  const ipc::wish wish{.bytes = 1, .room = is_sending() ? ring_capacity / 4 : 0};
  armed = channel_->arm(wish) == ipc::arming::armed;
  return armed;
}

void remote_worker::disarm() noexcept {
  if (std::exchange(armed, false)) channel_->disarm();
}

}  // namespace cadre::process
