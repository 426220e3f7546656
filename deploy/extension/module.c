/* See extension.h. The module, NumPy, and what the others share. */
#include "extension.h"

PyObject *fail(const module_state *m, const char *function, el_status status) {
    return PyErr_Format(m->error,
                        "%s of the native library answered %s; arguments: see native/edge_lstm.h",
                        function, el_status_name(status));
}

void *values_of(const module_state *m, PyObject *object, const PyObject *descr, int flags,
                Py_ssize_t *size) {
    const el_array *const a = (const el_array *)object;
    if (!is_array(m, object) || a->descr != descr || (a->flags & flags) != flags) {
        (void)PyErr_Format(PyExc_TypeError, "expected a contiguous array of another type");
        return NULL;
    }
    *size = 1;
    for (int k = 0; k < a->nd; k++) *size *= a->dimensions[k];
    return a->data;
}

void *exactly(const module_state *m, PyObject *object, const PyObject *descr, int flags,
              Py_ssize_t expected) {
    Py_ssize_t size = 0;
    void *const values = values_of(m, object, descr, flags, &size);
    if (!values || size == expected) return values;
    (void)PyErr_Format(PyExc_TypeError, "array has %zd values, expected %zd", size, expected);
    return NULL;
}

int read_layers(PyObject *layers, el_network *network) {
    const Py_ssize_t bytes = PyBytes_Size(layers);
    network->layers = (uint32_t)((size_t)bytes / sizeof(el_layer));
    network->layer = (const el_layer *)(const void *)PyBytes_AsString(layers);
    if (network->layers * sizeof(el_layer) == (size_t)bytes) return 1;
    (void)PyErr_Format(PyExc_TypeError, "%zd bytes are no layers", bytes);
    return 0;
}

static PyObject *kernel_name(PyObject *self, PyObject *args) {
    unsigned index;
    (void)self;
    return PyArg_ParseTuple(args, "I", &index) ? Py_BuildValue("z", el_kernel_name(index)) : NULL;
}

/* (layers, inputs, precision) -> the numbers of weights and of steps */
static PyObject *weight_values(PyObject *self, PyObject *args) {
    el_network n = {0, 0, 0, NULL};
    size_t weights, steps;
    PyObject *layers;
    if (!PyArg_ParseTuple(args, "SII", &layers, &n.inputs, &n.precision) ||
        !read_layers(layers, &n))
        return NULL;
    const el_status status = el_weight_values(&n, &weights, &steps);
    if (status != EL_OK) return fail(PyModule_GetState(self), "el_weight_values", status);
    return Py_BuildValue("nn", (Py_ssize_t)weights, (Py_ssize_t)steps);
}

static PyObject *attribute(const char *module, const char *name) {
    PyObject *const found = PyImport_ImportModule(module);
    PyObject *const value = found ? PyObject_GetAttrString(found, name) : NULL;
    if (found) Py_DecRef(found);
    return value;
}

/* NumPy's table of functions. It stays as long as the process. */
static int read_numpy(module_state *m) {
    PyObject *capsule = attribute("numpy._core._multiarray_umath", "_ARRAY_API");
    if (!capsule) {
        PyErr_Clear(); /* NumPy 1 */
        capsule = attribute("numpy.core._multiarray_umath", "_ARRAY_API");
    }
    void **const numpy = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
    if (capsule) Py_DecRef(capsule);
    if (!numpy) return 0;
    const unsigned abi = ((unsigned (*)(void))numpy[EL_GET_ABI])();
    if (abi != EL_NPY_ABI_1 && abi != EL_NPY_ABI_2) {
        (void)PyErr_Format(m->error, "NumPy has the ABI %x, expected %x or %x", abi, EL_NPY_ABI_1,
                           EL_NPY_ABI_2);
        return 0;
    }
    PyObject *(*const descr)(int) = (PyObject * (*)(int)) numpy[EL_DESCR_FROM_TYPE];
    m->array = numpy[EL_ARRAY_TYPE], m->new_array = (new_array *)numpy[EL_NEW_FROM_DESCR];
    return (m->float32 = descr(EL_NPY_FLOAT)) && (m->float64 = descr(EL_NPY_DOUBLE)) &&
           (m->out = PyUnicode_InternFromString("out"));
}

static int set_up(PyObject *module) {
    module_state *const m = PyModule_GetState(module);
    m->error = attribute("edge_lstm_runtime.errors", "BackendError");
    if (!m->error || !read_numpy(m)) return -1;
    PyObject *const net = m->net = PyType_FromModuleAndSpec(module, &net_spec, NULL);
    PyObject *const step = net ? PyType_FromModuleAndSpec(module, &step_spec, NULL) : NULL;
    if (!step) return -1;
    const int failed = PyObject_SetAttrString(module, "Net", net) ||
                       PyObject_SetAttrString(module, "Step", step);
    Py_DecRef(step);
    return failed ? -1 : 0;
}

static PyMethodDef functions[] = {{"kernel_name", kernel_name, METH_VARARGS, NULL},
                                  {"weight_values", weight_values, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)set_up}, {0, NULL}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", NULL, sizeof(module_state), functions, slots, NULL, NULL,
    NULL};

__attribute__((visibility("default"))) PyObject *PyInit__kernel(void);
PyObject *PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
