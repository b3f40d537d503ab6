// SPDX-License-Identifier: MIT
// remote_worker: one worker process, as its pool sees it. Guarded by the pool's lock, except for what
// read() needs, which belongs to the thread that has set `reading`.
//
//   starting --hello--> ready --end frame--> ending
//       |                 |                    |
//       '-----------------+---- it dies -------'--> (forgotten by the pool)
//
// The calls that it was sent stand in a ring in the order of their numbers. What the worker says about
// them is compared with that ring, and believed only as far as it fits.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ipc/channel.hpp"
#include "ipc/claim_table.hpp"
#include "ipc/event.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/answers.hpp"
#include "process/frame.hpp"
#include "process/request_writer.hpp"
#include "process/shared_page.hpp"
#include "process/task.hpp"

namespace cadre::process {

class remote_worker {
 public:
  enum class condition { starting, ready, ending };

  // Larger rings take longer messages in one go.
  static constexpr std::size_t ring_capacity = std::size_t{1} << 18;

  /// `index`: its place in the pool. Throws std::system_error.
  remote_worker(unsigned index, std::uint64_t token, std::size_t max_message);

  // --- set-up ---

  const unsigned index;
  const std::uint64_t token;  // in the poller, and of deaths; never used again
  std::uint64_t process = 0;  // the worker_starter's id
  pid_t pid = 0;
  condition now = condition::starting;
  bool launching = false;    // somebody is about to start it, without the lock
  std::uint64_t launch = 0;  // the worker_starter's id while it is launching; 0: not known as yet
  bool greeted = false;      // it has sent its memory
  // When it is to be ended by force: of one that starts and does not say hello, or that was told to
  // end and does not.
  std::chrono::steady_clock::time_point end_limit = sync::never;
  unsigned end_steps = 0;  // taken: SIGTERM, SIGKILL
  std::string refusal;     // why it could not begin, as it said instead of its hello
  /// It sent these words instead of its memory.
  void refuse(std::span<const std::byte> words);
  /// It is dead; nobody has looked yet whether it said why.
  void hear_last_words() noexcept;
  ipc::packet_socket& hello() noexcept { return hello_.first; }
  int bell() const noexcept { return bell_.fd(); }
  /// For whoever looks at the bell itself.
  void silence_bell() const noexcept { bell_.silence(); }
  /// For the worker's entry: parent's region, shared page, bell, socket.
  std::array<int, 4> descriptors() const noexcept;
  /// And with its argument.
  const frame_secrets& secrets() const noexcept { return secrets_; }
  /// The worker has its copies.
  void close_descriptors() noexcept;
  /// Takes the region that the worker sent. Throws std::runtime_error if it is none.
  void attach(const ipc::descriptor& region);
  /// Tells the worker of the modules that this process has located code in since. False if there is
  /// no room for that now. Before each frame that may name them.
  bool tell_modules();

  // --- calls ---

  std::size_t in_flight() const noexcept { return static_cast<std::size_t>(next_ - first_); }
  bool may_send() const noexcept {
    return now == condition::ready && fault == nullptr && !crowded && !signalled &&
           writer_.idle() && in_flight() < ipc::claim_table::slot_count;
  }
  /// There is room for so many bytes, and nothing that the worker would have to be told before.
  bool has_room(std::size_t size) noexcept;
  /// Tells the worker of what a call may name: modules, and the shared memory that it refers to;
  /// `gone` is rung when some of that goes. False if that is not possible now.
  bool prepare_for(const std::vector<detail::memory_ptr>& memories,
                   const std::shared_ptr<ipc::event>& gone) {
    return (memories.empty() && knows_modules()) || send_packets(memories, gone);
  }
  /// Tells the worker to let go of memory that this process has no more use for.
  void forget_memories();
  /// Sends `t`, or as much of it as there is room for; send_more() does the rest. After prepare_for().
  void send(task& t);
  /// False if there was no room, or nothing to send.
  bool send_more();
  /// The lines that the next small call will be written to, which the worker has read.
  void prefetch_next() const noexcept {
    channel_->prefetch_for_write(sizeof(request_header));
    page_->claims.prefetch(next_ % ipc::claim_table::slot_count);
  }
  bool is_sending() const noexcept { return !writer_.idle(); }
  /// Sends a frame that belongs to no call. A module that it names was told before.
  void send_control(request_header header, std::span<const std::byte> body);
  /// As that; the initializer, which is answered before any call.
  void initialise(request_header header, std::span<const std::byte> body);

  /// It is not certain that the worker has not begun: it has, or the claim is damaged.
  bool may_have_begun(const task& t) const noexcept {
    return !page_->claims.is_untaken(t.number % ipc::claim_table::slot_count, t.number);
  }
  /// The worker says that it has begun.
  bool has_begun(const task& t) const noexcept;
  /// Takes back a call that the worker has not begun. False if it has, or is just being sent it.
  bool revoke(task& t) noexcept;
  /// Takes back the call that was sent last, if the worker is not about to come to it. Or null.
  task* revoke_last() noexcept { return revoke_last_behind(first_); }
  /// As that, of those behind the call with that number.
  task* revoke_last_behind(std::uint64_t number) noexcept;
  /// Keeps the worker from beginning `t`, which stays in hand until it was killed. False if it has.
  bool forbid(const task& t) noexcept;
  /// The claims of the calls in hand cannot be what an honest worker wrote: it is at a later call,
  /// but the answer to the first has not been sent, or a word says nothing known. Requires !reading.
  bool claims_are_damaged() noexcept;
  /// It has come to a call behind `t`, so the answer of that is on its way.
  bool is_past(const task& t) const noexcept;
  /// The number of the call whose answer is next; it changes when the worker gets on.
  std::uint64_t turn() const noexcept { return first_; }
  /// A call that is not the next in turn; revoked ones do not count.
  bool has_spare() const noexcept;
  /// The call that the worker must be at; null if there is none.
  task* head() noexcept;
  template <typename Function>
  void for_each(Function function) {
    for (std::uint64_t n = first_; n != next_; ++n) {
      if (entry(n) != nullptr) function(*entry(n));
    }
  }
  /// Takes out the call that the next answer is for; null: that was revoked, or is the initializer. False, and
  /// nothing was taken out, if the answer is for another one, or of a kind that it cannot be.
  bool take_next(const answer_header& a, task*& t) noexcept;
  /// Takes out all calls, oldest first.
  std::vector<task*> take_all();

  void request_stop(const task& t) noexcept { page_->request_stop(t.number); }

  // --- answers ---

  bool reading = false;
  /// Asks for the bell when there is something to read or room to go on sending; with `late`, when the worker
  /// has nothing more to do, or little. False if there is already. Requires !reading.
  bool arm(bool late = false) noexcept;
  void disarm() noexcept;
  bool poisoned() const noexcept { return channel_ && channel_->poisoned(); }
  bool readable() noexcept { return channel_ && channel_->readable() != 0; }
  /// Says where a large answer is to be put that has begun. Before read().
  void place_answer() noexcept;
  /// By the thread that has set `reading`; without the lock.
  bool read(answers& to, std::size_t most) {
    return reader_.read(*channel_, hello_.first, to, most);
  }

  static constexpr const char* damaged =
      "it had sent what it cannot have meant: its memory was damaged";
  const char* fault = nullptr;  // why it is never to be read again
  bool armed = false;
  bool armed_late = false;
  bool attended = false;   // a waiter sleeps until it rings, instead of the collector
  bool signalled = false;  // to end its call: it may die of that later, so it gets no other one
  bool crowded = false;    // no more memory can be shared with it, until:
  std::chrono::steady_clock::time_point crowded_until{};

  // --- for the pool's decisions ---

  std::uint64_t calls = 0;  // answered
  std::chrono::steady_clock::time_point idle_since{};
  std::uint64_t seen_turn = 0;  // by the collector, when it last kept time
  std::chrono::steady_clock::time_point seen_since{};
  bool slow = false;          // this turn takes so long that no call is to wait behind it
  bool initialising = false;  // the first answer is the initializer's

 private:
  task*& entry(std::uint64_t number) noexcept { return entries_[number % entries_.size()]; }
  std::uint64_t reserve_number(task* t) noexcept;
  bool knows_modules() const noexcept;
  bool send_packets(const std::vector<detail::memory_ptr>& memories,
                    const std::shared_ptr<ipc::event>& gone);
  bool share(const detail::memory_ptr& memory, const std::shared_ptr<ipc::event>& gone);

  const frame_secrets secrets_ = frame_secrets::random();
  ipc::created_region mine_;
  ipc::created_region shared_;
  ipc::region theirs_;
  shared_page* page_;
  ipc::event bell_;
  std::pair<ipc::packet_socket, ipc::packet_socket> hello_;  // ours, and the worker's
  std::optional<ipc::parent_end> channel_;
  answer_reader reader_;

  std::array<task*, ipc::claim_table::slot_count> entries_{};
  std::uint64_t first_ = 1;  // the next to be answered
  std::uint64_t next_ = 1;   // the next to be sent

  request_writer<task> writer_{secrets_.to_worker};
  std::uint32_t modules_ = 0;  // that the worker was told of
  std::map<std::uint64_t, std::weak_ptr<const detail::shared_memory>> memories_;  // that it knows
  std::uint32_t packets_ = 0;  // sent, and not announced yet
};

}  // namespace cadre::process
