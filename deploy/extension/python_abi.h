/* What is used of Python's stable ABI, as it is from Python 3.10 on, and of NumPy's C API.
 *
 * Declared here, so that neither Python.h nor NumPy's headers are needed, which a cross compiler
 * lacks and a user's machine may lack. A test compiles this file together with the real headers of
 * each Python, and compares the sizes, places and numbers with theirs.
 */
#ifndef EL_PYTHON_ABI_H
#define EL_PYTHON_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifndef Py_PYTHON_H
typedef intptr_t Py_ssize_t;
typedef struct _object PyObject;
typedef struct _typeobject PyTypeObject;
typedef struct PyModuleDef PyModuleDef;
typedef struct _ts PyThreadState;
struct _object {
    Py_ssize_t ob_refcnt;
    PyTypeObject *ob_type;
};
typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef int (*visitproc)(PyObject *, void *);
typedef int (*traverseproc)(PyObject *, visitproc, void *);
typedef int (*inquiry)(PyObject *);
typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;
typedef struct {
    int slot;
    void *pfunc;
} PyType_Slot;
typedef struct {
    const char *name;
    int basicsize, itemsize;
    unsigned int flags;
    PyType_Slot *slots;
} PyType_Spec;
typedef struct {
    int slot;
    void *value;
} PyModuleDef_Slot;
struct PyModuleDef {
    struct {
        PyObject ob_base;
        PyObject *(*m_init)(void);
        Py_ssize_t m_index;
        PyObject *m_copy;
    } m_base;
    const char *m_name, *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    PyModuleDef_Slot *m_slots;
    traverseproc m_traverse;
    inquiry m_clear;
    void (*m_free)(void *);
};
enum {
    METH_VARARGS = 0x1,
    METH_KEYWORDS = 0x2,
    METH_NOARGS = 0x4,
    METH_FASTCALL = 0x80,
    Py_mod_exec = 2,
    Py_tp_clear = 51,
    Py_tp_dealloc = 52,
    Py_tp_methods = 64,
    Py_tp_new = 65,
    Py_tp_traverse = 71,
    Py_TPFLAGS_HAVE_GC = 1 << 14
};
extern PyObject _Py_NoneStruct;
extern PyTypeObject PyFloat_Type, PyList_Type, PyLong_Type, PyTuple_Type;
extern PyObject *PyExc_TypeError;
#define PyModuleDef_HEAD_INIT {{1, NULL}, NULL, 0, NULL}
#define Py_None (&_Py_NoneStruct)
#endif

void Py_IncRef(PyObject *object);
void Py_DecRef(PyObject *object);
PyObject *PyObject_Call(PyObject *callable, PyObject *args, PyObject *named);
PyObject *PyObject_GetAttrString(PyObject *object, const char *name);
int PyObject_SetAttrString(PyObject *object, const char *name, PyObject *value);
void PyObject_Free(void *object);
void PyObject_GC_Del(void *object);
void PyObject_GC_UnTrack(void *object);
PyObject *PyType_FromModuleAndSpec(PyObject *module, PyType_Spec *spec, PyObject *bases);
PyObject *PyType_GenericAlloc(PyTypeObject *type, Py_ssize_t items);
void *PyType_GetModuleState(PyTypeObject *type);
PyObject *PyModuleDef_Init(PyModuleDef *def);
void *PyModule_GetState(PyObject *module);
PyObject *PyImport_ImportModule(const char *name);
void *PyCapsule_GetPointer(PyObject *capsule, const char *name);
int PyArg_ParseTuple(PyObject *args, const char *format, ...);
PyObject *Py_BuildValue(const char *format, ...);
PyObject *PyErr_Format(PyObject *type, const char *format, ...);
void PyErr_Clear(void);
PyObject *PyErr_Occurred(void);
PyObject *PyErr_NoMemory(void);
void *PyMem_Malloc(size_t bytes);
void PyMem_Free(void *memory);
PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *thread);
unsigned long PyThread_get_thread_ident(void);
double PyFloat_AsDouble(PyObject *number);
PyObject *PyLong_FromSsize_t(Py_ssize_t value);
long long PyLong_AsLongLongAndOverflow(PyObject *number, int *overflow);
Py_ssize_t PyList_Size(PyObject *list);
PyObject *PyList_GetItem(PyObject *list, Py_ssize_t index);
PyObject *PyTuple_New(Py_ssize_t size);
Py_ssize_t PyTuple_Size(PyObject *tuple);
PyObject *PyTuple_GetItem(PyObject *tuple, Py_ssize_t index);
int PyTuple_SetItem(PyObject *tuple, Py_ssize_t index, PyObject *value);
PyObject *PyDict_New(void);
int PyDict_SetItem(PyObject *dict, PyObject *key, PyObject *value);
PyObject *PyBytes_FromStringAndSize(const char *bytes, Py_ssize_t size);
Py_ssize_t PyBytes_Size(PyObject *bytes);
char *PyBytes_AsString(PyObject *bytes);
PyObject *PyUnicode_InternFromString(const char *text);
int PyUnicode_CompareWithASCIIString(PyObject *text, const char *ascii);

/* The fields of an array, which NumPy 1 and 2 share, and what is in NumPy's table of functions. */
typedef struct {
    PyObject head;
    char *data;
    int nd;
    Py_ssize_t *dimensions, *strides;
    PyObject *base, *descr;
    int flags;
} el_array;
enum {
    EL_CONTIGUOUS = 0x1,
    EL_ALIGNED = 0x100,
    EL_WRITEABLE = 0x400,
    EL_NPY_FLOAT = 11,
    EL_NPY_DOUBLE = 12,
    EL_NPY_ABI_1 = 0x1000009, /* NumPy 1.x */
    EL_NPY_ABI_2 = 0x2000000, /* NumPy 2.x */
    EL_GET_ABI = 0,           /* unsigned (void) */
    EL_ARRAY_TYPE = 2,        /* ndarray */
    EL_DESCR_FROM_TYPE = 45,  /* PyObject *(int type) */
    EL_NEW_FROM_DESCR = 94    /* PyObject *(ndarray, descr, nd, dims, strides, data, flags, obj) */
};

#endif
