#include "tensor.h"

#include <nanobind/ndarray.h>

#include <string>
#include <unordered_map>

namespace nb = nanobind;

namespace gaborsplat {
namespace {

/// The part of DLPackExchangeAPI, of major version 1, that is used here.
struct ExchangeApi {
    std::uint32_t major, minor;
    const ExchangeApi* previous;
    void* allocate;
    void* export_managed;
    void* import_managed;
    int (*export_view)(void* object, nb::dlpack::dltensor* out);
    int (*current_stream)(std::int32_t device_type, std::int32_t device, void** out);
};

constexpr std::int32_t kDlCpu = 1, kDlCuda = 2;  // DLDeviceType

/// What a type of tensors offers; null where it offers nothing.
const ExchangeApi* exchange_api(PyTypeObject* type) {
    static std::unordered_map<PyTypeObject*, const ExchangeApi*> known;
    auto found = known.find(type);
    if (found != known.end()) return found->second;
    const ExchangeApi* api = nullptr;
    nb::object capsule =
        nb::getattr(nb::borrow((PyObject*)type), "__dlpack_c_exchange_api__", nb::none());
    if (PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api"))
        api = static_cast<const ExchangeApi*>(
            PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    while (api && api->major != 1) api = api->previous;
    if (api && !api->export_view) api = nullptr;
    Py_INCREF(type);  // so that its address stays its own
    return known[type] = api;
}

Number number_of(const nb::dlpack::dtype& type) {
    using Code = nb::dlpack::dtype_code;
    if (type.lanes != 1) return Number::kOther;
    switch (static_cast<Code>(type.code)) {
        case Code::Float:
            return type.bits == 32   ? Number::kFloat32
                   : type.bits == 64 ? Number::kFloat64
                                     : Number::kOther;
        case Code::Int:
            return type.bits == 16   ? Number::kInt16
                   : type.bits == 32 ? Number::kInt32
                   : type.bits == 64 ? Number::kInt64
                                     : Number::kOther;
        case Code::UInt:
        case Code::Bool:
            return type.bits == 8 ? Number::kUint8 : Number::kOther;
        default:
            return Number::kOther;
    }
}

TensorView view_of(const nb::dlpack::dltensor& t) {
    TensorView view = {};
    view.data = static_cast<char*>(t.data) + t.byte_offset;
    view.device = t.device.device_type == kDlCpu    ? kCpu
                  : t.device.device_type == kDlCuda ? t.device.device_id
                                                    : kOtherDevice;
    view.number = number_of(t.dtype);
    view.count = 1;
    view.contiguous = true;
    for (int axis = t.ndim - 1; axis >= 0; --axis) {
        if (t.strides && t.shape[axis] != 1 && t.strides[axis] != view.count)
            view.contiguous = false;
        view.count *= t.shape[axis];
    }
    if (view.count == 0) view.contiguous = true;
    return view;
}

Number number_named(const std::string& dtype) {
    for (Number number : {Number::kFloat32, Number::kFloat64, Number::kInt16, Number::kInt32,
                          Number::kInt64, Number::kUint8})
        if (dtype == std::string("torch.") + name_of(number)) return number;
    return dtype == "torch.bool" ? Number::kUint8 : Number::kOther;
}

std::string text_of(nb::object object) { return nb::str(object).c_str(); }

/// By attributes, of torch before 2.10.
bool view_by_attributes(nb::handle object, TensorView& view) {
    if (!nb::hasattr(object, "data_ptr")) return false;
    view.data = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(object.attr("data_ptr")()));
    view.count = nb::cast<std::int64_t>(object.attr("numel")());
    view.contiguous = nb::cast<bool>(object.attr("is_contiguous")());
    view.number = number_named(text_of(object.attr("dtype")));
    std::string device = text_of(object.attr("device").attr("type"));
    view.device = device == "cpu"    ? kCpu
                  : device == "cuda" ? nb::cast<int>(object.attr("get_device")())
                                     : kOtherDevice;
    return true;
}

/// What torch's tensors offer.
const ExchangeApi* torch_api() {
    static const ExchangeApi* api = exchange_api(
        reinterpret_cast<PyTypeObject*>(nb::module_::import_("torch").attr("Tensor").ptr()));
    return api;
}

}  // namespace

std::uintptr_t current_stream(int device) {
    if (device < 0) return 0;
    void* stream = nullptr;
    const ExchangeApi* api = torch_api();
    if (api && api->current_stream(kDlCuda, device, &stream) == 0)
        return reinterpret_cast<std::uintptr_t>(stream);
    PyErr_Clear();
    nb::object torch = nb::module_::import_("torch._C");
    return nb::cast<std::uintptr_t>(torch.attr("_cuda_getCurrentRawStream")(device));
}

const char* name_of(Number number) {
    constexpr const char* names[] = {"float32", "float64", "int16", "int32", "int64", "uint8"};
    return number == Number::kOther ? "another type" : names[static_cast<int>(number)];
}

std::size_t size_of(Number number) {
    constexpr std::size_t sizes[] = {4, 8, 2, 4, 8, 1};
    return number == Number::kOther ? 0 : sizes[static_cast<int>(number)];
}

bool view_tensor(nb::handle object, TensorView& view) {
    const ExchangeApi* api = exchange_api(Py_TYPE(object.ptr()));
    if (!api) return view_by_attributes(object, view);
    nb::dlpack::dltensor tensor;
    if (api->export_view(object.ptr(), &tensor) != 0) {
        PyErr_Clear();  // a tensor that DLPack has no words for
        return view_by_attributes(object, view);
    }
    view = view_of(tensor);
    return true;
}

}  // namespace gaborsplat
