// SPDX-License-Identifier: MIT
// A pool sends a call in pieces and takes it back, or does not; its worker takes it or skips it. Under
// every schedule both are at the same place of the stream afterwards: request_writer.hpp,
// request_reader.hpp.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "holds.hpp"
#include "ipc/claim_table.hpp"
#include "model_channel.hpp"
#include "process/frame.hpp"
#include "process/request_reader.hpp"
#include "process/request_writer.hpp"

namespace cadre_model {
namespace {

using cadre::ipc::claim_table;
using cadre::process::frame_kind;
using cadre::process::request_header;
using cadre::process::request_reader;
using cadre::process::request_writer;

constexpr std::uint64_t secret = 7;
constexpr std::uint64_t number = 3;
constexpr std::size_t part_size = 64;

/// A call, as its worker is sent it: a header, and one large part.
class model_task {
 public:
  model_task() {
    header_.number = number;
    header_.parts = part_size;
    part_.fill(std::byte{4});  // a frame `end`, if it is taken for one
  }
  request_header& header() noexcept { return header_; }
  static std::size_t pieces() noexcept { return 2; }
  std::span<const std::byte> piece(std::size_t index) const noexcept {
    if (index == 1) return part_;
    return std::as_bytes(std::span{&header_, 1});
  }

 private:
  request_header header_;
  std::array<std::byte, part_size> part_;
};

/// Waits without looking again and again first.
template <typename Channel>
struct patient {
  std::span<const std::byte> peek() { return channel.worker.peek(); }
  std::size_t read_some(void* to, std::size_t size) { return channel.worker.read_some(to, size); }
  void consume(std::size_t size) { channel.worker.consume(size); }
  bool wait(cadre::ipc::wish w) { return channel.worker_waits(w); }

  Channel& channel;
};

template <typename Channel>
class reader_of final : public request_reader<patient<Channel>> {
 public:
  using request_reader<patient<Channel>>::request_reader;
  std::shared_ptr<const void> attached(std::uint64_t) override { return nullptr; }
};

/// How much of its argument a call reads, of which the rest is skipped.
enum class reads { all, some, none };

template <std::size_t Capacity>
struct one_worker {
  using channel_type = model_channel<Capacity>;

  // --- the pool ---

  void send_all() {
    while (!writer.idle()) {
      if (!writer.send_more(channel.parent)) channel.parent_waits({.room = 1});
    }
  }

  void send_and_revoke() {
    claims.post(number, number);
    writer.begin(task);
    writer.send_more(channel.parent);
    // As remote_worker does: half a call cannot be taken back.
    if (writer.sending() == nullptr) revoked = claims.revoke(number, number);
    send_all();
    if (!revoked) revoked = claims.revoke(number, number);
    writer.control({.kind = frame_kind::end}, {});
    send_all();
  }

  // --- the worker ---

  void serve(reads how_much) {
    patient<channel_type> end{channel};
    const auto reader = std::make_unique<reader_of<channel_type>>(end, secret, 1000U);
    request_header request;
    check(reader->await(), "the call comes");
    reader->read(request);
    check(request.kind == frame_kind::call, "it is the call");
    taken = claims.take(request.number, request.number);
    reader->body(request);
    const std::size_t left = how_much == reads::all ? 0 : part_size / 2;
    while (taken && how_much != reads::none && reader->left() > left) {
      for (const std::byte b : reader->next(reader->left() - left, 1)) {
        check(b == std::byte{4}, "the argument is whole");
      }
    }
    check(reader->await(), "the next frame comes");
    reader->read(request);
    check(request.kind == frame_kind::end, "it is the next frame");
    reader->body(request);
    check(channel.worker.readable() == 0, "nothing is left of the call");
  }

  channel_type channel;
  claim_table claims;
  model_task task;
  request_writer<model_task> writer{secret};
  bool revoked = false;
  bool taken = false;
};

// The first ring does not hold a call, so that it is sent in two pieces; in the second one it lies in one
// piece, in the third in two. Red when the last piece of a part that is skipped stays lent, and when a
// frame is given its check before one that is written first.
template <std::size_t Capacity>
void any_schedule(reads how_much) {
  EXPECT_TRUE(holds([how_much] {
    const auto both = std::make_unique<one_worker<Capacity>>();
    in_parallel([&] { both->serve(how_much); }, [&] { both->send_and_revoke(); });
    check(both->taken != both->revoked, "one of the two has the call");
  }));
}

}  // namespace

TEST(stream_model, both_sides_keep_step_when_a_call_is_read_or_taken_back) {
  any_schedule<128>(reads::all);
  any_schedule<256>(reads::all);
}

TEST(stream_model, both_sides_keep_step_when_a_call_reads_half_of_its_argument) {
  any_schedule<128>(reads::some);
  any_schedule<256>(reads::some);
}

TEST(stream_model, both_sides_keep_step_when_a_call_reads_nothing_of_its_argument) {
  any_schedule<128>(reads::none);
  any_schedule<256>(reads::none);
}

// A control frame is queued while a call is half sent, and before one that has not begun.
TEST(stream_model, control_frames_keep_step_with_calls) {
  EXPECT_TRUE(holds([] {
    const auto both = std::make_unique<one_worker<128>>();
    in_parallel(
        [&] {
          patient<model_channel<128>> end{both->channel};
          const auto reader = std::make_unique<reader_of<model_channel<128>>>(end, secret, 1000U);
          request_header request;
          unsigned calls = 0;
          do {
            check(reader->await(), "the frame comes");
            reader->read(request);
            reader->body(request);
            calls += request.kind == frame_kind::call ? 1 : 0;
          } while (request.kind != frame_kind::end);
          check(calls == 2, "each frame comes");
        },
        [&] {
          model_task second;
          both->writer.control({.kind = frame_kind::receive}, {});
          both->writer.begin(both->task);
          both->writer.send_more(both->channel.parent);
          both->writer.control({.kind = frame_kind::receive}, {});
          both->send_all();
          both->writer.begin(second);
          both->writer.control({.kind = frame_kind::receive}, {});
          both->send_all();
          both->writer.control({.kind = frame_kind::end}, {});
          both->send_all();
        });
  }));
}

}  // namespace cadre_model
