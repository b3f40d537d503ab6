// SPDX-License-Identifier: MIT
#include "process/worker_main.hpp"

#include <cadre/codec.hpp>
#include <cadre/detail/portable_call.hpp>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "base/large_buffer.hpp"
#include "base/large_parts.hpp"
#include "executor/worker_identity.hpp"
#include "ipc/channel.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/code.hpp"
#include "process/exception_codec.hpp"
#include "process/frame.hpp"
#include "process/memory_limit.hpp"
#include "process/memory_table.hpp"
#include "process/module_table.hpp"
#include "process/remote_worker.hpp"
#include "process/shared_memory.hpp"
#include "process/shared_page.hpp"
#include "process/throw_trace.hpp"
#include "sync/mutex.hpp"

namespace cadre::process {
namespace {

using clock = std::chrono::steady_clock;

/// A thread, once there is a call that takes a stop_token, which hears when that is to stop.
class stop_watch {
 public:
  explicit stop_watch(const shared_page& page) noexcept : page_{page} {}

  std::stop_token begin(std::uint64_t number) {
    if (!started_) {
      // Detached: it ends with the process.
      std::thread{[this] { watch(); }}.detach();
      started_ = true;
    }
    const std::lock_guard lock{mutex_};
    source_ = std::stop_source{};
    number_ = number;
    // The wish may have come before the call.
    static_cast<void>(page_.bell());
    if (page_.stopped() == number) source_.request_stop();
    return source_.get_token();
  }
  void end() {
    const std::lock_guard lock{mutex_};
    number_ = 0;
  }

 private:
  void watch() {
    for (std::uint32_t seen = 0;;) {
      page_.await_bell(seen);
      seen = page_.bell();
      std::optional<std::stop_source> stopped;
      {
        const std::lock_guard lock{mutex_};
        if (number_ != 0 && page_.stopped() == number_) stopped = source_;
      }
      // Without the lock: stop callbacks are the user's.
      if (stopped) stopped->request_stop();
    }
  }

  const shared_page& page_;
  bool started_ = false;
  sync::mutex mutex_;
  std::stop_source source_{std::nostopstate};  // guarded by mutex_
  std::uint64_t number_ = 0;                   // guarded by mutex_; 0: none
};

/// The large parts of a call, as they arrive.
class arriving_parts final : public detail::part_source {
 public:
  using read_function = std::function<void(void* to, std::size_t size)>;

  arriving_parts(ipc::worker_end& channel, read_function read, memory_table& memories)
      : channel_{channel}, read_{std::move(read)}, memories_{memories} {}

  void begin(std::size_t size) noexcept { left_ = size; }

  std::span<const std::byte> next(std::size_t most, std::size_t unit) override {
    give_back();
    const std::size_t wanted = std::min(most, left_) / unit * unit;
    // Where it lies, if elements can.
    if (channel_.peek().empty()) static_cast<void>(channel_.wait({.bytes = 1}));
    const auto there = channel_.peek();
    const auto address = reinterpret_cast<std::uintptr_t>(there.data());
    std::size_t size = std::min({wanted, there.size(), remote_worker::publish_every}) / unit * unit;
    if (size != 0 && address % detail::alignment_of_unit(unit) == 0) {
      lent_ = size;
      left_ -= size;
      return there.first(size);
    }
    size = std::min(wanted, sizeof piece_ / unit * unit);
    read_(piece_, size);
    left_ -= size;
    return {piece_, size};
  }
  void end_part(std::size_t size) override { skip(detail::padded(size) - size); }
  std::size_t left() const noexcept override { return left_; }
  std::shared_ptr<const void> attached(std::uint64_t number) override {
    return memories_.argument(number);
  }

  /// Those that nobody wanted. Before anything else is read, if only of none.
  void skip(std::size_t size) {
    give_back();
    for (const std::size_t end = left_ - std::min(size, left_); left_ != end;) next(left_ - end, 1);
  }

 private:
  void give_back() noexcept {
    if (lent_ != 0) channel_.consume(std::exchange(lent_, 0));
  }

  ipc::worker_end& channel_;
  const read_function read_;
  memory_table& memories_;
  std::size_t left_ = 0;
  std::size_t lent_ = 0;  // bytes of the channel that the last piece is
  alignas(detail::part_alignment) std::byte piece_[std::size_t{16} << 10];
};

class server {
 public:
  server(ipc::worker_end& channel, shared_page& page, ipc::packet_socket packets,
         const worker_argument& settings)
      : channel_{channel},
        page_{page},
        settings_{settings},
        stops_{page},
        memories_{std::move(packets)} {
    decode_functions_with(modules_);
    detail::set_worker_identity({.index = settings_.index, .pool = settings_.pool});
  }

  /// The exit code.
  int run() {
    for (;;) {
      request_header request;
      if (channel_.peek().empty() && !channel_.wait({.bytes = 1})) return EXIT_FAILURE;
      // While the request comes from the parent's cache, so does this.
      page_.claims.prefetch(next_slot_);
      if (!read(&request, sizeof request)) return EXIT_FAILURE;
      next_slot_ = request.slot + 1;
      channel_.prefetch_for_write(sizeof(answer_header));
      // From here to the answer the parent sees a call that was begun and not answered, if this
      // process dies. dies here: the survivor sees the call as lost; test
      // fault.process_pool_fault.a_call_that_kills_its_worker_costs_itself_only.
      const bool mine =
          request.kind != frame_kind::call || page_.claims.take(request.slot, request.number);
      memories_.receive(request.memories);
      const auto body = read_body(request);
      switch (request.kind) {
        case frame_kind::learn_module:
          learn(request, body);
          break;
        case frame_kind::forget:
          memories_.forget(request.number);
          break;
        case frame_kind::end:
          if (request.descriptor != code_address{}) run_finalizer(request, body);
          detail::clear_worker_context();
          return EXIT_SUCCESS;
        default:
          if (!mine) {
            clear_out();
            reply({.kind = frame_kind::skipped}, request);
          } else if (!serve(request, body) && request.kind == frame_kind::initialize) {
            return EXIT_FAILURE;  // before the calls that were sent behind it
          }
      }
      arriving_.skip(arriving_.left());
      memories_.end_call();
    }
  }

 private:
  bool read(void* to, std::size_t size) {
    auto* at = static_cast<std::byte*>(to);
    while (size != 0) {
      const std::size_t got = channel_.read_some(at, size);
      at += got;
      size -= got;
      if (size != 0 && !channel_.wait({.bytes = 1})) return false;
    }
    return true;
  }

  void read_or_throw(void* to, std::size_t size) {
    if (!read(to, size)) throw std::runtime_error{"worker: the channel is damaged"};
  }

  /// Empty if there is no memory for it, which `body_lost_` says.
  std::span<const std::byte> read_body(const request_header& request) {
    auto size = static_cast<std::size_t>(request.size);
    const bool large = size > small_body_.size();
    body_lost_ = large && size > large_body_.capacity() && !make_large_body(size);
    std::byte* const body = large ? large_body_.data() : small_body_.data();
    if (body_lost_) {
      drop(size);
    } else {
      read_or_throw(body, size);
    }
    arriving_.begin(static_cast<std::size_t>(request.parts));
    if (request.parts != 0) {
      std::array<std::byte, detail::part_alignment> padding;
      read_or_throw(padding.data(), detail::padded(size) - size);
    }
    return {body, body_lost_ ? 0 : size};
  }

  bool make_large_body(std::size_t size) {
    large_body_ = {};
    try {
      large_body_ = detail::large_buffer{size};
    } catch (const std::bad_alloc&) {
      return false;
    }
    return true;
  }

  void drop(std::size_t size) {
    while (size != 0) {
      const std::size_t piece = std::min(size, small_body_.size());
      read_or_throw(small_body_.data(), piece);
      size -= piece;
    }
  }

  void require_body() const {
    if (body_lost_) throw std::bad_alloc{};
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t piece = std::min(bytes.size(), remote_worker::publish_every);
      const std::size_t wrote = channel_.write_some(bytes.first(piece));
      bytes = bytes.subspan(wrote);
      if (bytes.empty()) return;
      channel_.publish();
      if (wrote == piece) continue;
      const std::size_t room = std::min(bytes.size(), remote_worker::ring_capacity / 4);
      if (!channel_.wait({.room = room})) {
        throw std::runtime_error{"worker: the channel is damaged"};
      }
    }
  }

  /// With what stands in out_.
  void reply(answer_header answer, const request_header& to) {
    answer.number = to.number;
    answer.size = out_.size();
    answer.parts = parts_.size();
    answer.memories = memories_.result_count();
    memories_.send_results();
    if (settings_.measures_resident) answer.resident = memory_use::now().resident;
    write({reinterpret_cast<const std::byte*>(&answer), sizeof answer});
    write(out_.bytes());
    if (!parts_.empty()) write(detail::large_parts::padding(out_.size()));
    parts_.for_each_piece([this](std::span<const std::byte> piece) { write(piece); });
    channel_.publish();
  }

  void learn(const request_header& request, std::span<const std::byte> body) {
    require_body();
    decoder in{body};
    module_description what;
    what.path = decode<std::string>(in);
    what.identity = decode<std::string>(in);
    modules_.learn(request.slot, std::move(what));
  }

  const detail::call_descriptor& find(const request_header& request) {
    if (last_ != nullptr && request.descriptor == last_address_) return *last_;
    const auto* found = static_cast<const detail::call_descriptor*>(modules_.object(
        request.descriptor, sizeof(detail::call_descriptor), alignof(detail::call_descriptor)));
    if (found->magic != detail::call_descriptor::expected_magic || found->type != request.type) {
      throw std::runtime_error{
          "process_pool: the worker's program has other code where this call should be; it was "
          "changed after it was started: start it again"};
    }
    last_ = found;
    last_address_ = request.descriptor;
    return *found;
  }

  void clear_out() {
    out_.clear();
    parts_.clear();
    memories_.drop_results();
  }

  /// False if it threw.
  bool serve(const request_header& request, std::span<const std::byte> body) {
    clear_out();
    serving_ = {.request = &request};
    if (request.is_measured != 0) serving_.begin = clock::now();
    bool watched = false;
    const std::size_t name_size = std::min<std::size_t>(request.name_size, body.size());
    const std::string_view name{reinterpret_cast<const char*>(body.data()), name_size};
    detail::throw_trace trace;
    const auto work = [&] {
      require_body();
      const detail::call_descriptor& what = find(request);
      const memory_limit limit{request.max_memory};
      std::stop_token token;
      watched = what.takes_token;
      if (watched) token = stops_.begin(request.number);
      decoder in{body.subspan(name_size)};
      detail::apart::receive(in, arriving_);
      const detail::parts_beside beside{out_, parts_};
      const detail::token_scope scope{&token};
      what.run(in, out_, token);
      if (!serving_.replied) refuse_too_large();
    };
    const std::exception_ptr thrown = detail::run_traced(work, trace);
    if (watched) stops_.end();
    if (serving_.replied) {
      if (thrown) std::rethrow_exception(thrown);  // the channel is damaged
      return true;
    }
    if (thrown) {
      clear_out();
      detail::encode_exception(out_, thrown, name, trace.frames());
    }
    send_answer(thrown ? frame_kind::error : frame_kind::value);
    return !thrown;
  }

  /// While the result of the call is still there.
  void deliver() {
    refuse_too_large();
    serving_.replied = true;
    send_answer(frame_kind::value);
  }

  void send_answer(frame_kind kind) {
    answer_header answer{.kind = kind};
    if (serving_.request->is_measured != 0) {
      const std::chrono::nanoseconds took = clock::now() - serving_.begin;
      answer.run_ns = static_cast<std::uint64_t>(took.count());
    }
    // What is left of the arguments comes before the parent can take an answer out of the way.
    arriving_.skip(arriving_.left());
    reply(answer, *serving_.request);
  }

  void refuse_too_large() const {
    const std::size_t size = out_.size() + parts_.size();
    if (size <= settings_.max_message) return;
    throw codec_error{"process_pool: the result of the call takes " + std::to_string(size) +
                      " bytes, more than the max_message of " +
                      std::to_string(settings_.max_message) +
                      "; the call did run: raise the limit, or return less"};
  }

  void run_finalizer(const request_header& request, std::span<const std::byte> body) {
    try {
      require_body();
      decoder in{body};
      clear_out();
      find(request).run(in, out_, {});
    } catch (...) {
      detail::report_unhandled("finalizer", settings_.pool, std::current_exception());
    }
  }

  ipc::worker_end& channel_;
  shared_page& page_;
  const worker_argument settings_;  // this_worker names its pool
  module_resolver modules_;
  stop_watch stops_;
  encoder out_;
  memory_table memories_;
  std::size_t next_slot_ = 0;  // probably
  detail::large_parts parts_{[this] { deliver(); }, &memories_};
  arriving_parts arriving_{
      channel_, [this](void* to, std::size_t size) { read_or_throw(to, size); }, memories_};
  std::array<std::byte, 4096> small_body_;
  detail::large_buffer large_body_;
  bool body_lost_ = false;
  struct {
    const request_header* request = nullptr;
    clock::time_point begin = {};
    bool replied = false;  // before its result was destroyed
  } serving_;
  const detail::call_descriptor* last_ = nullptr;
  code_address last_address_;
};

}  // namespace

int worker_main(std::span<const std::byte> argument, std::span<const int> fds) {
  decoder in{argument};
  const auto settings = decode<worker_argument>(in);
  const std::size_t size = ipc::channel_region_size(remote_worker::ring_capacity);
  const auto parents = ipc::region::open(ipc::descriptor{fds[0]}, size, ipc::region::access::mine);
  const auto shared =
      ipc::region::open(ipc::descriptor{fds[1]}, shared_page_size, ipc::region::access::both);
  auto mine = ipc::region::create(size, ipc::region::access::mine);
  ipc::worker_end channel{ipc::own_half_of(mine.memory), ipc::peer_half_of(parents),
                          ipc::event{ipc::descriptor{fds[2]}}};
  ipc::packet_socket packets{ipc::descriptor{fds[3]}};
  const std::byte one{1};
  packets.send({&one, 1}, std::array{mine.handle.get()});
  mine.handle.reset();
  // Never deleted: a detached thread may use it while the process ends. And made anew: this process may
  // be forked from a worker.
  static server* serving = nullptr;
  serving = new server{channel, shared_page::find_in(shared), std::move(packets), settings};
  return serving->run();
}

}  // namespace cadre::process
